"""What an accuracy drop consists of: a shifted label prior, answers outside the format, and the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

from spillover.analysis.wording import plain, signed
from spillover.records import BASE, Cell, Measurement
from spillover.report.tables import cell_of

ACCURACY = "accuracy"
LOSS_PARTS = ("label_prior_loss", "format_loss", "remaining_loss")
"""Metrics that sum to 1 less accuracy: what contextual calibration repairs; what it leaves wrong where the model would
not say any of the answers; what it leaves wrong otherwise."""

_NAMES = ("label prior", "answer format", "remaining")
_CAUSES = (
    ("a shifted label prior", "contextual calibration would repair"),
    ("answers outside the format", "items where the model would say something else make up"),
    ("wrong answers within the format", "items that calibration does not repair make up"),
)
"""Of `LOSS_PARTS`: what it is, and what it does to so much of the drop."""
_UNTOLD = "too few items to say of what"


@dataclass(frozen=True, slots=True)
class Part:
    """How much of a drop one cause accounts for."""

    amount: float
    """Share of the items, positive where accuracy is lost; the parts of a drop sum to it."""
    low: float | None
    high: float | None

    @property
    def costs(self) -> bool:
        """Whether it is shown to cost the variant more than the base."""
        return self.low is not None and self.low > 0

    @property
    def spares(self) -> bool:
        """Whether it is shown to cost the variant less than the base."""
        return self.high is not None and self.high < 0


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
    reading: str
    """What the parts say, by their intervals: ``most of it is a shifted label prior: ...``."""


def accuracy_drops(measurements: Sequence[Measurement]) -> tuple[AccuracyDrop, ...]:
    """Return every cell of a variant whose accuracy is below the base's and whose losses were scored.

    Each part is the difference of a loss to the base's in the same cell, with the interval of that difference. A part
    below zero means that this cause costs the variant less than the base.
    """
    found = {(row.variant, cell_of(row), row.metric): row for row in measurements}
    drops: list[AccuracyDrop] = []
    for (variant, cell, metric), row in found.items():
        losses = [found.get((variant, cell, name)) for name in LOSS_PARTS]
        if metric != ACCURACY or variant == BASE or row.difference >= 0 or None in losses:
            continue
        parts = [Part(loss.difference, loss.low, loss.high) for loss in losses if loss is not None]
        is_told = row.high is not None and row.high < 0
        drops.append(
            AccuracyDrop(
                variant,
                row.relation,
                cell,
                row.base_value,
                row.value,
                -row.difference,
                row.is_clear,
                parts[0],
                parts[1],
                parts[2],
                _reading(-row.difference, parts) if is_told else "too few items to say that anything was lost",
            )
        )
    return tuple(drops)


def _reading(drop: float, parts: Sequence[Part]) -> str:
    """Say which part is most of a drop, if the intervals show that one is.

    The parts sum to the drop however large they are: +0.30 and -0.25 make 0.05, of which neither is the cause. Where
    parts below zero take away more than half of the drop, none is named.
    """
    taken_away = -sum(part.amount for part in parts if part.amount < 0)
    if taken_away > drop / 2:
        if any(part.spares for part in parts) and any(part.costs for part in parts):
            ordered = sorted(zip(_NAMES, parts, strict=True), key=lambda entry: -entry[1].amount)
            amounts = ", ".join(f"{name} {signed(part.amount)}" for name, part in ordered)
            return f"its parts cancel ({amounts}): no explanation"
        return _UNTOLD
    whole = plain(drop)
    found = [
        (words, part)
        for words, part in zip(_CAUSES, parts, strict=True)
        if part.low is not None and part.low > drop / 2
    ]
    if found:
        (cause, does), part = found[0]
        amount = "all" if part.amount >= drop else plain(part.amount)
        return f"most of it is {cause}: {does} {amount} of {whole}"
    causes = [
        f"{cause} ({plain(part.amount)} of {whole})"
        for (cause, _), part in zip(_CAUSES, parts, strict=True)
        if part.costs
    ]
    return f"in part it is {' and '.join(causes)}" if causes else _UNTOLD
