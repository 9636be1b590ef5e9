"""Intervals from resamples of items, for numbers that are no mean of bounded values."""

from functools import cache

import numpy as np

from spillover.records import FloatArray
from spillover.statistics.distributions import ndtr, stdtrit
from spillover.statistics.gaffke import DEPTHS, Confidence
from spillover.statistics.paired import ROUNDING, percentile_interval

MINIMUM_UNIT_COUNT = 10
"""Independent items, or groups of items that share a source, below which no interval is given."""

MINIMUM_CHANGE_COUNT = 10.0
"""Units among which the change is spread, below which resamples say nothing of the rest (`spread_over`)."""

SEEN_IN_TAIL = 20
"""Resamples beyond an end, below which it is not read off them."""

READ_OFF = 0.15
"""Tail whose end is read off the resamples however few there are: nearly one standard error."""


def spread_over(changes: FloatArray) -> float:
    """Return among how many units a change is spread: ``(sum of |d|) ** 2 / sum of d ** 2``.

    It is the number of changed units where all changed alike, and one where one of them changed far more than others,
    however many jitter. Nothing changed is spread over none.

    Args:
        changes: Of each unit, ``(n,)``, or of each of its statistics, ``(n, k)``.
    """
    sizes = np.abs(changes).reshape(len(changes), -1).sum(axis=1)
    total, largest = float(sizes.sum()), float(sizes.max())
    return total**2 / float((sizes**2).sum()) if largest > ROUNDING else 0.0


def from_resamples(value: float, replicates: FloatArray, unit_count: int) -> Confidence:
    """Return how far a value may be off: expanded percentiles of its resamples, see `expanded_percentiles`.

    Tails with fewer than `SEEN_IN_TAIL` resamples grow on as Student's t does.
    """
    freedom, stretch = unit_count - 1.0, float(np.sqrt(unit_count / (unit_count - 1)))
    tails = ndtr(-stretch * _student(freedom))
    seen = tails >= min(SEEN_IN_TAIL / len(replicates), READ_OFF)
    low, high = (np.quantile(replicates, ends) for ends in (tails[seen], 1 - tails[seen]))
    return Confidence(value, *(grown(np.maximum(part, 0.0), freedom) for part in (value - low, high - value)))


def grown(distances: FloatArray, freedom: float) -> FloatArray:
    """Return distances at all of `DEPTHS` from those at the first of them, growing on as Student's t does."""
    rising = np.maximum.accumulate(distances)
    student = _student(freedom)
    rest = student[len(rising) :] * (rising[-1] / student[len(rising) - 1])
    return np.concatenate([rising, rest])


def half_widths(error: float, freedom: float) -> FloatArray:
    """Return Student's t times a standard error, at each of `DEPTHS`."""
    return error * _student(freedom)


@cache
def _student(freedom: float) -> FloatArray:
    """Return the quantiles of Student's t at the levels of `DEPTHS`."""
    return np.asarray(-stdtrit(freedom, ndtr(-DEPTHS)), dtype=np.float64)


def resampled_interval(
    replicates: FloatArray, unit_count: int, level: float
) -> tuple[float, float] | tuple[None, None]:
    """Return the expanded percentile interval of one task's replicates, or none where it would not be honest.

    Of a number that several tasks enter, ``unit_count`` is that of the task with the fewest units: never too narrow.
    """
    return percentiles_or_none(replicates, percentile_level(unit_count, level))


def percentile_level(unit_count: int, level: float) -> float | None:
    """Return the level of the percentiles of resamples that hold ``level``; None for too few independent units."""
    if unit_count < MINIMUM_UNIT_COUNT:
        return None
    return _expanded(unit_count - 1, float(np.sqrt(unit_count / (unit_count - 1))), level)


def percentiles_or_none(replicates: FloatArray, level: float | None) -> tuple[float, float] | tuple[None, None]:
    """Return the percentile interval; none without a `percentile_level`, and where every resample gives the same."""
    if level is None or np.ptp(replicates) < ROUNDING:
        return None, None
    return percentile_interval(replicates, level)


def expanded_percentiles(replicates: FloatArray, freedom: float, stretch: float, level: float) -> tuple[float, float]:
    """Return the percentile interval at the level that makes it as wide as the t interval for a mean of normal items.

    Percentiles of resamples are too narrow by ``sqrt((n - 1) / n)``, which ``stretch`` undoes, and by the normal
    quantile in place of Student's; with ten clusters a nominal 95 % covers about 90 %. Hesterberg 2015, "What Teachers
    Should Know About the Bootstrap", section 5.3.
    """
    return percentile_interval(replicates, _expanded(freedom, stretch, level))


def _expanded(freedom: float, stretch: float, level: float) -> float:
    return float(1 - 2 * ndtr(stretch * stdtrit(freedom, (1 - level) / 2)))


def degrees_of_freedom(variances: FloatArray, freedoms: FloatArray) -> float:
    """Return those of a sum of independent estimates with ``variances`` and ``freedoms`` (Satterthwaite 1946)."""
    total = variances.sum()
    return float(total**2 / (variances**2 / freedoms).sum()) if total > 0 else float(freedoms.min())
