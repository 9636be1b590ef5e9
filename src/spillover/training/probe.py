"""Watches forgetting while a model trains: loss on general text, and how far its predictions are from the base's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from spillover.training.loss import summed_loss
from spillover.training.rows import TrainingRow

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Logits = Callable[[Sequence[TrainingRow], int], torch.Tensor]

COMPARED = 8
"""Rows whose predictions are compared with the base's, which are kept: tokens x vocabulary x 4 bytes."""


@dataclass(frozen=True, slots=True)
class Watch:
    """How a run is watched."""

    rows: Sequence[TrainingRow]
    """General text."""
    every: int
    """Steps from one measurement to the next."""
    tell: Callable[[str], None] | None = None
    """Called with every measurement, in words."""
    base: torch.Tensor | None = None
    """`ForgettingProbe.base` of the model to compare with; None compares with the model as the run begins."""


class ForgettingProbe:
    """Measures a model against what it was when the probe was made."""

    def __init__(
        self, model: PreTrainedModel, logits: Logits, rows: Sequence[TrainingRow], base: torch.Tensor | None = None
    ) -> None:
        self._model = model
        self._logits = logits
        self._rows = rows
        self.base = self._log_probabilities() if base is None else base
        """Log-probabilities ``(target tokens of the first rows, vocabulary)`` of what it compares with."""

    def measure(self) -> dict[str, float]:
        """Return ``general_loss`` and ``kl_to_base``, both in nats per token."""
        now = self._log_probabilities()
        divergence = nn.functional.kl_div(now, self.base, log_target=True, reduction="batchmean")
        return {
            "general_loss": general_loss(self._model, self._logits, self._rows),
            "kl_to_base": float(divergence),
        }

    def _log_probabilities(self) -> torch.Tensor:
        with torch.no_grad(), evaluating(self._model):
            return self._logits(self._rows[:COMPARED], 0).log_softmax(dim=-1)


@torch.no_grad()
def general_loss(model: PreTrainedModel, logits: Logits, rows: Sequence[TrainingRow]) -> float:
    """Return the mean loss over all target tokens of the rows, in nats, without dropout."""
    total = 0.0
    with evaluating(model):
        for row in rows:
            total += float(summed_loss(logits([row], 0), [row]))
    return total / sum(len(row.target) for row in rows)


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Turn dropout off inside the block."""
    was_training = model.training
    model.train(False)
    try:
        yield
    finally:
        model.train(was_training)
