"""Weighted sums of scores over many cells with one paired interval: what a claim about a study is tested with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.analysis.cells import ScoreKey, Scores
from spillover.analysis.paired import difference, differences, percentile_interval
from spillover.records import FloatArray


@dataclass(frozen=True, slots=True)
class Term:
    """A weight times a score, the best of them where several keys are given."""

    weight: float
    keys: tuple[ScoreKey, ...]
    """Scores of which higher is better; several are the shot counts among which the best is picked."""

    def value(self, scores: Scores) -> float:
        """Return the term over all items."""
        return self.weight * max(scores[key].value for key in self.keys)

    def replicates(self, scores: Scores) -> FloatArray:
        """Return the term over every resample ``(resample_count,)``; the best is picked anew in each."""
        best = np.max(np.stack([scores[key].replicates for key in self.keys]), axis=0)
        return np.asarray(self.weight * best, dtype=np.float64)


Contrast = tuple[Term, ...]
"""Terms that are summed: of a difference two, of a difference of differences four."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean of contrasts with its percentile interval."""

    mean: float
    low: float
    high: float
    contrast_count: int


def minus(left: Sequence[ScoreKey], right: Sequence[ScoreKey]) -> Contrast:
    """Return the best of ``left`` less the best of ``right``."""
    return (Term(1.0, tuple(left)), Term(-1.0, tuple(right)))


def estimate(contrasts: Sequence[Contrast], scores: Scores, *, level: float) -> Estimate:
    """Return the mean of contrasts, resampled jointly so that what models share cancels.

    Raises:
        ValueError: Without a contrast; a mean over nothing has no value.
    """
    if not contrasts:
        raise ValueError("a mean over no contrast has no value")
    values = [difference(sum(term.value(scores) for term in contrast), 0.0) for contrast in contrasts]
    replicates = np.mean(
        [np.sum([term.replicates(scores) for term in contrast], axis=0) for contrast in contrasts], axis=0
    )
    low, high = percentile_interval(differences(replicates, np.zeros_like(replicates)), level)
    return Estimate(float(np.mean(values)), low, high, len(contrasts))
