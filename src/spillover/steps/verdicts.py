"""What a model says of rows, for another model's prompt or threshold: labels and a share of one for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from spillover.errors import UserError
from spillover.evaluation.choice import Scoring, answer_shares
from spillover.prompts.receipts import Receipt
from spillover.records import Example, FloatArray
from spillover.steps.cell_steps import AskCell
from spillover.steps.step import Step
from spillover.store.store import Store

if TYPE_CHECKING:
    from spillover.records import Prediction


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """How sure a model is of each label, row by row."""

    labels: tuple[str, ...]
    values: FloatArray
    """``(n, labels)``; each row sums to 1."""

    def within(self, answers: Sequence[str]) -> Shares:
        """Return the shares of the labels that are answers of a task, which sum to 1 again.

        Raises:
            UserError: If fewer than two labels are left, or nothing of a row is.
        """
        kept = [index for index, label in enumerate(self.labels) if label in answers]
        if len(kept) < 2:
            raise UserError(
                f"a classifier of {', '.join(self.labels)} says nothing of a task with the answers "
                f"{', '.join(answers)}: they need two in common; rename labels (target.map), or ask another task"
            )
        values = self.values[:, kept]
        totals = values.sum(axis=1, keepdims=True)
        if not (totals > 0).all():
            raise UserError(f"a classifier gives all of {int((totals <= 0).sum())} rows to labels that are no answers")
        return Shares(tuple(self.labels[index] for index in kept), values / totals)

    def receipts(self) -> list[Receipt]:
        """Return each row's most likely label and its share."""
        best = self.values.argmax(axis=1)
        return [Receipt(self.labels[index], float(row[index])) for index, row in zip(best, self.values, strict=True)]


class Verdicts(Protocol):
    """A model's verdicts on the rows of one part of a task, read from a finished step."""

    @property
    def step(self) -> Step:
        """What has to be done for them: an input of whatever reads them."""

    @property
    def reading(self) -> Mapping[str, Any]:
        """What decides the shares beyond the step, as plain data: a part of the reader's key."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What it chooses from, known before anything is done."""

    def shares(self, rows: Sequence[Example], store: Store) -> Shares:
        """Return the shares of rows, in their order; the step is finished.

        Raises:
            UserError: If a row is none of those the step was asked.
        """


@dataclass(frozen=True)
class AskedVerdicts:
    """The verdicts of a language model: each answer's share of the task's answer set, by raw log-likelihood."""

    step: AskCell
    """The model, asked these rows without demonstrations."""
    labels: tuple[str, ...]
    """The task's answer set."""

    @property
    def reading(self) -> Mapping[str, Any]:
        """Nothing but the step decides them."""
        return {}

    def shares(self, rows: Sequence[Example], store: Store) -> Shares:
        """Return the softmax of the answers' log-likelihoods (sheet supercontext, 2.3)."""
        rule, answered = Scoring(answers=self.labels), self._answered(store)
        if unknown := [row.id for row in rows if row.id not in answered]:
            raise UserError(f"{self.step.label}: row {unknown[0]!r} was not asked; run again")
        return Shares(self.labels, np.stack([answer_shares(answered[row.id], rule) for row in rows]))

    def _answered(self, store: Store) -> Mapping[str, Prediction]:
        return {prediction.example_id: prediction for prediction in self.step.answered(store)}
