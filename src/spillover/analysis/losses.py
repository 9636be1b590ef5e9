"""What an accuracy drop consists of: a shifted label prior, answers outside the format, and the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

from spillover.records import BASE, Cell, Measurement

ACCURACY = "accuracy"
LOSS_PARTS = ("label_prior_loss", "format_loss", "remaining_loss")
"""Metrics that sum to 1 less accuracy: what contextual calibration repairs; what it leaves wrong where the model would
not say any of the answers; what it leaves wrong otherwise."""


@dataclass(frozen=True, slots=True)
class Part:
    """How much of a drop one cause accounts for."""

    amount: float
    """Share of the items, positive where accuracy is lost; the parts of a drop sum to it."""
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class AccuracyDrop:
    """A cell in which a variant is less accurate than the base, and why."""

    variant: str
    relation: str
    cell: Cell
    base_accuracy: float
    variant_accuracy: float
    drop: float
    """``base_accuracy - variant_accuracy``, above zero."""
    is_clear: bool
    """Whether the difference is significant after Holm's adjustment."""
    label_prior: Part
    answer_format: Part
    remaining: Part


def accuracy_drops(measurements: Sequence[Measurement]) -> tuple[AccuracyDrop, ...]:
    """Return every cell of a variant whose accuracy is below the base's and whose losses were scored.

    Each part is the difference of a loss to the base's in the same cell, with the interval of that difference. A part
    below zero means that this cause costs the variant less than the base.
    """
    found = {(row.variant, _cell(row), row.metric): row for row in measurements}
    drops: list[AccuracyDrop] = []
    for (variant, cell, metric), row in found.items():
        losses = [found.get((variant, cell, name)) for name in LOSS_PARTS]
        if metric != ACCURACY or variant == BASE or row.difference >= 0 or None in losses:
            continue
        parts = [Part(loss.difference, loss.low, loss.high) for loss in losses if loss is not None]
        drops.append(
            AccuracyDrop(variant, row.relation, cell, row.base_value, row.value, -row.difference, row.is_clear, *parts)
        )
    return tuple(drops)


def _cell(row: Measurement) -> Cell:
    return Cell(row.tested_on, row.prompt_form, row.shots, row.demonstration_seed)
