"""Weighted sums of scores over many cells with one paired interval: what a claim about a study is tested with."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from spillover.records import FloatArray
from spillover.statistics.cells import ScoreKey, Scores
from spillover.statistics.gaffke import Confidence, combined, widened
from spillover.statistics.inference import Scatter, Weighted, weighted_sum
from spillover.statistics.paired import difference
from spillover.statistics.picked import highest_of, lowest_of, mean_of_dependent
from spillover.statistics.resampled import half_widths
from spillover.statistics.scatter import scatter_of_seeds


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
    """Of zero, two-sided; None without an interval."""
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


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of the mean of contrasts."""

    mean: float
    contrast_count: int
    confidence: Confidence | None
    """Its ends at every level; None where no interval would be honest."""
    note: str
    seed_count: int

    def estimate(self, level: float) -> Estimate:
        """Return the mean with its interval at a level."""
        if self.confidence is None:
            return Estimate(self.mean, None, None, self.contrast_count, None, self.note, self.seed_count)
        low, high = self.confidence.interval(level)
        return Estimate(self.mean, low, high, self.contrast_count, self.confidence.p_value, self.note, self.seed_count)


def estimate(contrasts: Sequence[Contrast], scores: Scores, *, level: float) -> Estimate:
    """Return the mean of contrasts of one metric with its interval at a level, see `known`."""
    return known(contrasts, scores).estimate(level)


def known(contrasts: Sequence[Contrast], scores: Scores) -> Known:
    """Return what is known of the mean of contrasts of one metric, in which what models share cancels.

    The ends are those of `weighted_sum`; of several training seeds they hold for others too. Where a best over shots is
    picked they hold for the true best, whichever that is (`highest_of`).

    Raises:
        ValueError: Without a contrast; a mean over nothing has no value.
    """
    if not contrasts:
        raise ValueError("a mean over no contrast has no value")
    values = [difference(sum(term.value(scores) for term in contrast), 0.0) for contrast in contrasts]
    scatter = _scatter(contrasts, values, scores)
    if all(len(term.keys) == 1 for contrast in contrasts for term in contrast):
        found, note = weighted_sum(_by_task(contrasts, scores), unit=_unit(contrasts, scores), scatter=scatter)
    else:
        found, note = _of_picked(contrasts, scores)
        for reason in scatter:
            found = widened(found, half_widths(reason.error, reason.freedom)) if found else None
    return Known(float(np.mean(values)), len(contrasts), found, note, int(scatter[0].freedom) + 1 if scatter else 1)


def _of_picked(contrasts: Sequence[Contrast], scores: Scores) -> tuple[Confidence | None, str]:
    """Return what is known of a mean of bests: a task's are off together, tasks apart."""
    by_task: dict[str, list[Confidence]] = {}
    notes: list[str] = []
    for contrast in contrasts:
        found, note = _of_best(contrast, scores)
        if found is None:
            return None, note
        by_task.setdefault(contrast[0].keys[0].cell.tested_on, []).append(found)
        notes.append(note)
    shares = [len(own) / len(contrasts) for own in by_task.values()]
    total = combined([mean_of_dependent(own) for own in by_task.values()], shares)
    return total, "; ".join(dict.fromkeys(note for note in notes if note))


def _of_best(contrast: Contrast, scores: Scores) -> tuple[Confidence | None, str]:
    """Return what is known of a best less a best: of all left ones, the largest of what is least above a right one."""
    left, right = ([term for term in contrast if np.sign(term.weight) == sign] for sign in (1, -1))
    rows: list[list[Confidence]] = []
    notes: list[str] = []
    for keys in product(*(term.keys for term in left)):
        row = []
        for others in product(*(term.keys for term in right)):
            terms = zip([*left, *right], [*keys, *others], strict=True)
            single = tuple(Term(term.weight, (key,)) for term, key in terms)
            found, note = weighted_sum(_by_task([single], scores), unit=_unit([contrast], scores))
            if found is None:
                return None, note
            row.append(found)
            notes.append(note)
        rows.append(row)
    return highest_of([lowest_of(row) for row in rows]), "; ".join(dict.fromkeys(note for note in notes if note))


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
