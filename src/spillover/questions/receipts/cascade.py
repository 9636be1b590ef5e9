"""A cascade: the classifier answers where it is sure enough, the model by itself everywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows with what both models say of them by themselves, in one order."""

    targets: tuple[str, ...]
    alone: tuple[str, ...]
    """What the model answers asked plainly."""
    own: tuple[str, ...]
    """What the classifier says."""
    confidence: tuple[float, ...]
    """How sure it is, 0..1."""


@dataclass(frozen=True, slots=True)
class Cascade:
    """A threshold that validation rows set, and what it comes to on the items."""

    threshold: float
    """The classifier answers where its confidence is above it: everywhere at 0, nowhere at 1."""
    row_count: int
    """Validation rows."""
    answers: tuple[str, ...]
    """Of the items."""
    asked_count: int
    """Items that the model has to answer."""


def best_threshold(rows: Judged) -> float:
    """Return the threshold of most right answers on some rows; of equal ones the lowest, which asks the model least."""
    own, alone = (
        np.array([answer == target for answer, target in zip(answers, rows.targets, strict=True)], dtype=np.int64)
        for answers in (rows.own, rows.alone)
    )
    confidence = np.array(rows.confidence)
    candidates = np.unique([0.0, *confidence, 1.0])
    right = [int(np.where(confidence > threshold, own, alone).sum()) for threshold in candidates]
    return float(candidates[int(np.argmax(right))])


def cascade(validation: Judged, own: Sequence[str], confidence: Sequence[float], alone: Sequence[str]) -> Cascade:
    """Return what items are answered by the threshold that validation rows set."""
    threshold = best_threshold(validation)
    sure = [share > threshold for share in confidence]
    answers = tuple(one if is_sure else other for is_sure, one, other in zip(sure, own, alone, strict=True))
    return Cascade(threshold, len(validation.targets), answers, len(sure) - sum(sure))
