"""What a model says of rows, for another model's prompt or threshold: labels and their shares, or what it writes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from spillover.errors import UserError
from spillover.evaluation.choice import Scoring, answer_shares, chosen_answer
from spillover.evaluation.json_answers import ABSTENTION, answers_in
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
            raise UserError(
                f"{self.step.label}: row {unknown[0]!r} was not asked, its prompt does not fit the context even "
                "without demonstrations; set field_limits on the task, or limit the ask with only.tasks"
            )
        return Shares(self.labels, np.stack([answer_shares(answered[row.id], rule) for row in rows]))

    def _answered(self, store: Store) -> Mapping[str, Prediction]:
        return {prediction.example_id: prediction for prediction in self.step.answered(store)}


class SureOf(Step):
    """A step that says how sure a model is of what it wrote in a cell."""

    if TYPE_CHECKING:  # a field of the one that is computed

        @property
        @abstractmethod
        def predictions(self) -> AskCell:
            """What it wrote."""

    @abstractmethod
    def probabilities(self, store: Store) -> Mapping[str, float]:
        """Return the finished step's probability of each item's text, by the item's id; 0 where nothing was written."""


@dataclass(frozen=True)
class WrittenVerdicts:
    """What a language model writes on the rows of one part of a task, left open where it is not sure.

    Sheet supercontext, 2.2; there is no set of answers to have shares of.
    """

    step: SureOf
    """How sure the model, asked these rows without demonstrations, is of its answers."""
    is_json: bool
    """Whether its answer is what its JSON says; then what cannot be read is no answer."""
    abstain_below: float
    """Probability of the answer below which it is `ABSTENTION`."""

    @property
    def reading(self) -> Mapping[str, Any]:
        """How a text becomes an answer."""
        return {"is_json": self.is_json, "abstain_below": self.abstain_below}

    def receipts(self, rows: Sequence[Example], store: Store) -> list[Receipt]:
        """Return the answer to each row in one line, without the punctuation behind it, and its probability.

        Raises:
            UserError: If a row is none of those the step was asked.
        """
        written = {row.example_id: chosen_answer(row, Scoring()) for row in self.step.predictions.answered(store)}
        sure = self.step.probabilities(store)
        if unknown := [row.id for row in rows if row.id not in written]:
            raise UserError(f"{self.step.label}: row {unknown[0]!r} was not asked; run again")
        return [Receipt(self._said(written[row.id], sure[row.id]), sure[row.id]) for row in rows]

    def _said(self, text: str, probability: float) -> str:
        given = ", ".join(answers_in(text)) if self.is_json else text
        line = " ".join(given.split()).rstrip(".,;:!")
        return line if line and probability >= self.abstain_below else ABSTENTION
