"""Weighted sums of scores over many cells with one paired interval: what a claim about a study is tested with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.analysis.cells import ScoreKey, Scores
from spillover.analysis.inference import Pair, mean_difference, resampled_interval
from spillover.analysis.paired import difference, differences
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
    """The mean of contrasts with its interval."""

    mean: float
    low: float | None
    """Of the interval; None where none would be honest: too few independent items, or too few that differ."""
    high: float | None
    contrast_count: int

    @property
    def is_above_zero(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.low is not None and self.low > 0

    @property
    def is_below_zero(self) -> bool:
        """Whether the whole interval lies below zero."""
        return self.high is not None and self.high < 0


def minus(left: Sequence[ScoreKey], right: Sequence[ScoreKey]) -> Contrast:
    """Return the best of ``left`` less the best of ``right``."""
    return (Term(1.0, tuple(left)), Term(-1.0, tuple(right)))


def estimate(contrasts: Sequence[Contrast], scores: Scores, *, level: float) -> Estimate:
    """Return the mean of contrasts of shares, resampled jointly so that what models share cancels.

    Differences of two scores have the interval of `mean_difference`, like those of the relations; what picks a best
    over shots or sums several differences has that of `resampled_interval`.

    Raises:
        ValueError: Without a contrast; a mean over nothing has no value.
    """
    if not contrasts:
        raise ValueError("a mean over no contrast has no value")
    values = [difference(sum(term.value(scores) for term in contrast), 0.0) for contrast in contrasts]
    mean, pairs = float(np.mean(values)), _pairs(contrasts, scores)
    if pairs is not None:
        found = mean_difference(pairs, level=level, are_shares=True)
        return Estimate(mean, found.low, found.high, len(contrasts))
    replicates = np.mean(
        [np.sum([term.replicates(scores) for term in contrast], axis=0) for contrast in contrasts], axis=0
    )
    fewest = min(scores[key].unit_count for contrast in contrasts for term in contrast for key in term.keys)
    low, high = resampled_interval(differences(replicates, np.zeros_like(replicates)), fewest, level)
    return Estimate(mean, low, high, len(contrasts))


def _pairs(contrasts: Sequence[Contrast], scores: Scores) -> list[list[Pair]] | None:
    """Return the scores by tested task where every contrast is a difference of two on the same items, else None."""
    by_task: dict[str, list[Pair]] = {}
    for contrast in contrasts:
        if [(term.weight, len(term.keys)) for term in contrast] != [(1.0, 1), (-1.0, 1)]:
            return None
        (key,), (other,) = (term.keys for term in contrast)
        if scores[key].example_ids != scores[other].example_ids:
            return None
        by_task.setdefault(key.cell.tested_on, []).append((scores[key], scores[other]))
    return list(by_task.values())
