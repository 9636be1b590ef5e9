"""Predicts a number of each unit, family by family left out: a ridge, its null, and an interval for a new family."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.questions.convergence.correlations import family_means
from spillover.records import FloatArray
from spillover.statistics.distributions import stdtrit
from spillover.statistics.paired import content_seed, resample_counts
from spillover.statistics.resampled import MINIMUM_UNIT_COUNT, resampled_interval

LEAST_FAMILIES = MINIMUM_UNIT_COUNT
"""From which on there is an interval for a new one."""


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """What every unit was predicted to have by the units of other families."""

    predicted: FloatArray
    """``(n,)``"""
    actual: FloatArray
    """``(n,)``"""
    family_count: int
    error: float
    """Mean absolute error."""
    null_error: float
    """Of the mean of the family's other units, or of all other families' where it has none."""
    gain: float
    """``null_error - error``."""
    low: float | None
    """Of the interval of ``gain`` over families; None for fewer than `LEAST_FAMILIES`."""
    high: float | None
    half_width: float | None
    """Of the interval for a unit of a family that is not among these; None for fewer than `LEAST_FAMILIES`."""

    @property
    def is_better(self) -> bool:
        """Whether it is shown to be nearer than the null."""
        return self.low is not None and self.low > 0


def forecast(
    features: FloatArray, actual: FloatArray, families: NDArray[np.intp], *, level: float, resample_count: int
) -> Forecast:
    """Return predictions of each family from all others, and how good they are.

    The interval for a new family's unit is Student's t times the root mean square of the errors made on families left
    out, which hold the error of the coefficients too. Errors of one family go together by a correlation ``c``, so that
    their mean square has ``n ** 2 / (n + sum over families of m (m - 1) c ** 2)`` degrees of freedom (Satterthwaite
    1946, of a mean of dependent squares).

    Args:
        features: Known before any of these were trained, ``(n, k)``.
        actual: What is predicted, ``(n,)``.
        families: ``(n,)``; two at least.
        level: Coverage of intervals.
        resample_count: Resamples of families.
    """
    predicted, others = np.empty_like(actual), np.empty_like(actual)
    for family in np.unique(families):
        is_out = families == family
        predicted[is_out] = ridge(features[~is_out], actual[~is_out], features[is_out])
        others[is_out] = actual[~is_out].mean()
    own = family_means(actual, families)
    null = np.where(np.isfinite(own), own, others)
    sizes, null_sizes = np.abs(actual - predicted), np.abs(actual - null)
    family_count = len(np.unique(families))
    low, high, half_width = None, None, None
    if family_count >= LEAST_FAMILIES:
        places = np.unique(families, return_inverse=True)[1]
        seed = content_seed("forecast", str(len(actual)), str(family_count))
        weights = resample_counts(family_count, seed=seed, resample_count=resample_count)[:, places]
        gains = (weights @ (null_sizes - sizes)) / weights.sum(axis=1)
        low, high = resampled_interval(gains, family_count, level)
        errors = actual - predicted
        half_width = float(stdtrit(_freedom(errors, places), (1 + level) / 2) * np.sqrt((errors**2).mean()))
    return Forecast(
        predicted,
        actual,
        family_count,
        float(sizes.mean()),
        float(null_sizes.mean()),
        float((null_sizes - sizes).mean()),
        low,
        high,
        half_width,
    )


def ridge(features: FloatArray, actual: FloatArray, new: FloatArray) -> FloatArray:
    """Return what new units are predicted to have, ``(m,)``.

    Coefficients of standardised features are shrunk by a penalty as large as their number: the best one where all
    features together explain half of the variance and each an equal part (Hoerl and Kennard 1970). A feature that does
    not vary is left out.
    """
    center, scale = features.mean(axis=0), features.std(axis=0)
    varies = scale > 1e-9 * np.abs(center).clip(min=1e-9)
    if not varies.any():
        return np.full(len(new), actual.mean())
    own, asked = ((values[:, varies] - center[varies]) / scale[varies] for values in (features, new))
    count = own.shape[1]
    slopes = np.linalg.solve(own.T @ own + count * np.eye(count), own.T @ (actual - actual.mean()))
    return np.asarray(actual.mean() + asked @ slopes, dtype=np.float64)


def _freedom(errors: FloatArray, families: NDArray[np.intp]) -> float:
    """Return the degrees of freedom of the errors' mean square, see `forecast`."""
    counts = np.bincount(families)
    pairs = float((counts * (counts - 1)).sum())
    if pairs == 0:
        return float(len(errors))
    together = float((np.bincount(families, weights=errors) ** 2).sum() - (errors**2).sum()) / pairs
    correlation = float(np.clip(together / (errors**2).mean(), 0, 1))
    return len(errors) ** 2 / (len(errors) + pairs * correlation**2)
