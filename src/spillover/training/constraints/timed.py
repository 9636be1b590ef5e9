"""Runs a constraint's hooks for the training loop, with their time, memory and reach counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from spillover.training.constraints.constraint import Constraint, Training
from spillover.training.probe import evaluating

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


class TimedConstraint:
    """A constraint whose time is counted."""

    def __init__(self, constraint: Constraint) -> None:
        self.constraint = constraint

    def begin(self, training: Training) -> None:
        """Let the constraint look at the base."""
        with self._clock(), evaluating(training.model), torch.no_grad():
            self.constraint.begin(training)

    def before_step(self, step: int, backward: Callable[[torch.Tensor], None]) -> None:
        """Prepare a step and back-propagate what the constraint adds to its loss."""
        with self._clock():
            loss = self.constraint.before_step(step)
            if loss is not None:
                backward(loss)

    def after_step(self, step: int) -> bool:
        """Let the constraint correct the weights; return whether training goes on."""
        with self._clock(), torch.no_grad():
            return self.constraint.after_step(step)

    def end(self) -> None:
        """Let the constraint correct the weights a last time."""
        with self._clock(), torch.no_grad():
            self.constraint.end()

    def report(self, model: PreTrainedModel, weights: Mapping[str, nn.Parameter]) -> dict[str, object]:
        """Return the constraint's own facts, the shares of weights trained and touched, its memory and its time."""
        facts = self.constraint.report()
        total = model.num_parameters()  # counts what is packed, two 4-bit weights to a byte
        trained = sum(weight.numel() for weight in weights.values())
        touched = facts.pop("touched_count", trained)
        assert isinstance(touched, int)
        return {
            "trained_share": trained / total,
            "touched_share": touched / total,
            "extra_memory_bytes": self.constraint.memory_bytes(),
            "extra_seconds": self.constraint.seconds,
            **facts,
        }

    @contextmanager
    def _clock(self) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.constraint.seconds += time.monotonic() - start
