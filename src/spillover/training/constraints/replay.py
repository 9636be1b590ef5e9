"""Replay: general text, or training rows of other tasks, mixed into every step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from spillover.settings import EACH_ONCE, ONE_OR_MORE
from spillover.training.constraints.constraint import Constraint, ConstraintSettings, Material, Report, Training
from spillover.training.rows import TrainingRow, TrainingRows

if TYPE_CHECKING:
    from torch import Tensor


class Replay(ConstraintSettings):
    """Let a share of all rows seen be others; each weighs in the loss as much as a row of the task.

    Steps and the task's own rows stay as they are without replay. Within the replayed part of a step the loss is the
    mean over its target tokens, so that long texts do not outweigh short answers; it counts as so many rows of a batch
    as the step replays, which differ by one where the share makes no whole number.
    """

    version: ClassVar[int] = 2
    kind: Literal["replay"] = "replay"
    share: float = Field(default=0.1, gt=0, lt=1)
    """Of all rows that the model sees in training."""
    rows_of: Annotated[tuple[str, ...], ONE_OR_MORE, EACH_ONCE] = ()
    """Tasks whose training rows are replayed; none replays general text."""

    @property
    def reads_general_text(self) -> bool:  # type: ignore[override]
        return not self.rows_of

    @property
    def replays(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.rows_of

    def fault(self, material: Material, batch_size: int) -> str | None:
        asked, held = (
            math.ceil(batch_size * self.share / (1 - self.share)),
            sum(len(rows.rows) for rows in self._sets(material)),
        )
        if asked <= held:
            return None
        source = f"{' and '.join(self.rows_of)} hold" if self.rows_of else "the general text holds"
        return (
            f"constraint 'replay' with share {self.share:g} mixes {asked} rows into a step of {batch_size}, "
            f"{source} {held}; lower share or training.batch_size, or name larger tasks in rows_of"
        )

    def build(self, material: Material) -> Constraint:
        return ReplayConstraint(self.share, self._sets(material))

    def _sets(self, material: Material) -> tuple[TrainingRows, ...]:
        general = TrainingRows(tuple(material.general), 0, {})
        return tuple(material.replayed) if self.rows_of else (general,)


class ReplayConstraint(Constraint):
    """Rows come in a shuffled order that is a pure function of the seed; each is seen once before any comes again."""

    def __init__(self, share: float, sets: tuple[TrainingRows, ...]) -> None:
        self._per_row = share / (1 - share)
        self._sets = sets
        self._training: Training | None = None
        self._order: list[tuple[TrainingRow, int]] = []
        self._ends: list[int] = []
        """Rows replayed before each step, and at last."""
        self._seen = 0

    def begin(self, training: Training) -> None:
        self._training = training
        self._ends = [int(rows * self._per_row) for rows in accumulate(training.batch_sizes, initial=0)]
        endless = self._rows(training.seed)
        self._order = [next(endless) for _ in range(self._ends[-1])]

    def before_step(self, step: int) -> Tensor | None:
        import torch

        from spillover.training.loss import summed_loss

        assert self._training is not None
        chosen = self._order[self._ends[step] : self._ends[step + 1]]
        self._seen = self._ends[step + 1]
        losses, token_count = [], 0
        for shared in dict.fromkeys(shared for _, shared in chosen):
            rows = [row for row, of_set in chosen if of_set == shared]
            losses.append(summed_loss(self._training.logits(rows, shared), rows))
            token_count += sum(len(row.target) for row in rows)
        if not losses:
            return None
        return len(chosen) / self._training.batch_sizes[step] * torch.stack(losses).sum() / token_count

    def report(self) -> Report:
        left_out = sum(count for rows in self._sets for count in rows.dropped.values())
        return {"replayed_row_count": self._seen, "left_out_row_count": left_out}

    def _rows(self, seed: int) -> Iterator[tuple[TrainingRow, int]]:
        pool = [(row, rows.shared_prefix_length) for rows in self._sets for row in rows.rows]
        turn = 0
        while True:
            for index in np.random.default_rng((seed, turn, 1)).permutation(len(pool)):
                yield pool[index]
            turn += 1
