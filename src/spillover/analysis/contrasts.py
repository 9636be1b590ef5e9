"""Weighted sums of scores over many cells with one paired interval: what a claim about a study is tested with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.analysis.cells import ScoreKey, Scores
from spillover.analysis.inference import Scatter, Weighted, weighted_sum
from spillover.analysis.paired import difference, differences
from spillover.analysis.resampled import resampled_interval
from spillover.analysis.scatter import scatter_of_seeds
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
    p_value: float | None = None
    """Of zero, two-sided; None without an interval, and where a best over shots is picked."""
    note: str = ""
    """Why there is no interval, or on what it rests."""
    seed_count: int = 1
    """Training seeds that the interval holds over; of one it says nothing of others."""

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
    """Return the mean of contrasts of one metric, in which what models share cancels.

    The interval is that of `weighted_sum`; of several training seeds it holds for others too. What picks a best over
    shots is no sum of scores and has that of `resampled_interval`.

    Raises:
        ValueError: Without a contrast; a mean over nothing has no value.
    """
    if not contrasts:
        raise ValueError("a mean over no contrast has no value")
    values = [difference(sum(term.value(scores) for term in contrast), 0.0) for contrast in contrasts]
    mean = float(np.mean(values))
    if all(len(term.keys) == 1 for contrast in contrasts for term in contrast):
        scatter = _scatter(contrasts, values, scores)
        found, note = weighted_sum(_by_task(contrasts, scores), unit=_unit(contrasts, scores), scatter=scatter)
        seed_count = int(scatter[0].freedom) + 1 if scatter else 1
        if found is None:
            return Estimate(mean, None, None, len(contrasts), None, note, seed_count)
        return Estimate(mean, *found.interval(level), len(contrasts), found.p_value, note, seed_count)
    replicates = np.mean([_replicates(contrast, scores) for contrast in contrasts], axis=0)
    fewest = min(scores[key].unit_count for contrast in contrasts for term in contrast for key in term.keys)
    low, high = resampled_interval(differences(replicates, np.zeros_like(replicates)), fewest, level)
    return Estimate(mean, low, high, len(contrasts))


def _replicates(contrast: Contrast, scores: Scores) -> FloatArray:
    return np.asarray(np.sum([term.replicates(scores) for term in contrast], axis=0), dtype=np.float64)


def _unit(contrasts: Sequence[Contrast], scores: Scores) -> str:
    return scores[contrasts[0][0].keys[0]].unit


def _by_task(contrasts: Sequence[Contrast], scores: Scores) -> list[list[Weighted]]:
    """Return the scores by tested task with their weights in the mean."""
    found: dict[str, list[Weighted]] = {}
    for contrast in contrasts:
        for term in contrast:
            (key,) = term.keys
            found.setdefault(key.cell.tested_on, []).append((term.weight / len(contrasts), scores[key]))
    return list(found.values())


def _scatter(contrasts: Sequence[Contrast], values: Sequence[float], scores: Scores) -> list[Scatter]:
    """Return how the mean varies with training seeds, where each contrast is of one of several."""
    by_seed: dict[int, list[int]] = {}
    for index, contrast in enumerate(contrasts):
        seeds = {scores[term.keys[0]].seed for term in contrast} - {None}
        if len(seeds) != 1:
            return []
        by_seed.setdefault(next(seed for seed in seeds if seed is not None), []).append(index)
    if len(by_seed) < 2:
        return []
    of_seeds = np.array([np.mean([values[index] for index in own]) for own in by_seed.values()])
    noise = [np.mean([_replicates(contrasts[index], scores) for index in own], axis=0) for own in by_seed.values()]
    return [scatter_of_seeds(of_seeds, np.stack(noise))]
