"""A classifier as a variant: it stands beside the base, gives a share to each of its labels and reads no prompt."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from spillover.errors import SpilloverError
from spillover.records import Example, FloatArray, Prediction
from spillover.steps.step import Step
from spillover.steps.variant import Tested, Variant
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.training.supervised import SMALLEST_SHARE

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class ClassifierVariant(Variant):
    """A variant that gives a share of one to each of its labels, and reads no prompt: it stands beside the base."""

    if TYPE_CHECKING:  # as of `Variant`

        @property
        @abstractmethod
        def labels(self) -> tuple[str, ...]:
            """What it tells apart."""

    @abstractmethod
    def asked_shares(self, rows: Sequence[Example], workshop: Workshop) -> FloatArray:
        """Return the share of each label for rows ``(rows, labels)``, its own training rows as any others."""

    def shares_of(self, rows: Sequence[Example], workshop: Workshop) -> FloatArray:
        """Return the same, but of a row that it was trained on what a model says that was not: out of fold.

        A step that asks this of training rows has `fair_inputs` among its inputs.

        Raises:
            SpilloverError: Out-of-fold shares are needed and not there.
        """
        return self.asked_shares(rows, workshop)

    def fair_inputs(self) -> Mapping[str, Step]:
        """Return the steps that `shares_of` reads: this one, and what judges its training rows out of fold."""
        return {"classifier": self}

    @abstractmethod
    def asked_work(self, rows: Sequence[Example]) -> float:
        """Return what asking it rows takes, in tokens of forward passes of the base."""

    @property
    def is_of_base(self) -> bool:
        return False

    @property
    def saves_adapter(self) -> bool:
        return False

    def cannot_answer(self, task: Tested) -> str | None:
        if not task.answers:
            return "it has no answer set, and a classifier gives nothing but labels"
        common = [answer for answer in task.answers if answer in self.labels]
        if len(common) >= 2:
            return None
        return (
            f"of its answers {', '.join(task.answers)} the classifier, which tells {', '.join(self.labels)} apart, "
            f"knows {len(common)}; two are needed"
        )

    def whole_model(self, store: Store) -> PreTrainedModel:
        raise SpilloverError(f"{self.variant} is a classifier, no language model; ask this of another variant")


def predictions_of(logs: FloatArray, rows: Sequence[Example], answers: Sequence[str]) -> list[Prediction]:
    """Return log shares as predictions; what it would say without an input, of which it knows nothing, is even."""
    even = (float(-np.log(len(answers))),) * len(answers)
    return [
        Prediction(row.id, row.target, answers[int(own.argmax())], tuple(map(float, own)), content_free=even)
        for row, own in zip(rows, logs, strict=True)
    ]


def over_answers(shares: FloatArray, labels: Sequence[str], answers: Sequence[str]) -> FloatArray:
    """Return log shares over a task's answers ``(rows, answers)``: renormalised over those that are labels too.

    An answer that the classifier does not know has the smallest share there is.
    """
    known = np.array([answer in labels for answer in answers])
    places = [labels.index(answer) for answer in answers if answer in labels]
    made = np.full((len(shares), len(answers)), SMALLEST_SHARE)
    made[:, known] = np.maximum(shares[:, places], SMALLEST_SHARE)
    made[:, known] /= made[:, known].sum(axis=1, keepdims=True)
    return np.asarray(np.log(np.maximum(made, SMALLEST_SHARE)), dtype=np.float64)


def dropped_of(*counts: Mapping[str, int]) -> dict[str, int]:
    """Return the sum of counts by reason."""
    return dict(sum((Counter(count) for count in counts), Counter[str]()))
