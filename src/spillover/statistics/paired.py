"""The parts of a paired bootstrap: resamples of examples, metrics of each, differences and their percentiles."""

import hashlib
import json
from collections.abc import Callable, Sequence

import numpy as np

from spillover.records import FloatArray

Combine = Callable[[FloatArray], FloatArray]
"""Totals over examples ``(..., k)`` to values ``(...)``."""

RESAMPLE_COUNT = 2000
"""Enough that an end of a 95 % interval, an average of about 50 resamples in the tail, moves little with the seed."""

LEVEL = 0.95

ROUNDING = 1e-12
"""Differences smaller than this are rounding of sums, not a change of the model."""


def content_seed(*parts: str) -> int:
    """Return a seed that depends on the texts alone, the same in every process."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def resample_counts(item_count: int, *, seed: int, resample_count: int = RESAMPLE_COUNT) -> FloatArray:
    """Return how often each resample draws each item, ``(resample_count, item_count)``; rows sum to ``item_count``."""
    if item_count < 2:
        raise ValueError(f"a bootstrap needs at least 2 examples, got {item_count}")
    draws = np.random.default_rng(seed).integers(0, item_count, size=(resample_count, item_count))
    draws += np.arange(resample_count)[:, None] * item_count
    counts = np.bincount(draws.ravel(), minlength=resample_count * item_count)
    return counts.reshape(resample_count, item_count).astype(np.float64)


def metric_value(statistics: FloatArray, combine: Combine) -> float:
    """Return the metric over all examples of ``statistics`` ``(n, k)``."""
    return float(_finite(combine(statistics.sum(axis=0)), "the metric"))


def resampled_together(scores: Sequence[tuple[FloatArray, Combine]], counts: FloatArray) -> list[FloatArray]:
    """Return several metrics of the same examples over resamples, ``(resample_count,)`` each, from one matrix product.

    Args:
        scores: Statistics ``(n, k)`` and the metric as a function of their sums.
        counts: How often each resample draws each example, ``(resample_count, n)``.
    """
    totals = counts @ np.concatenate([statistics for statistics, _ in scores], axis=1)
    ends = np.cumsum([statistics.shape[1] for statistics, _ in scores])
    return [
        _finite(combine(part), "the metric of a resample")
        for (_, combine), part in zip(scores, np.split(totals, ends[:-1], axis=1), strict=True)
    ]


def difference(value: float, base_value: float) -> float:
    """Return ``value - base_value``, exactly zero when only rounding remains."""
    return float(differences(np.array(value), np.array(base_value)))


def differences(values: FloatArray, base_values: FloatArray) -> FloatArray:
    """Return ``values - base_values`` elementwise, exactly zero where only rounding remains."""
    raw = np.asarray(values - base_values, dtype=np.float64)
    return np.where(np.abs(raw) < ROUNDING, 0.0, raw)


def percentile_interval(replicates: FloatArray, level: float) -> tuple[float, float]:
    """Return the central interval that holds ``level`` of the replicates."""
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval lies between 0 and 1, got {level}")
    ordered, places = np.sort(replicates), np.arange(len(replicates))
    # What `np.quantile` does, in a fifth of its time: a report asks for thousands.
    low, high = np.interp(np.array([(1 - level) / 2, (1 + level) / 2]) * places[-1], places, ordered)
    return float(low), float(high)


def check_statistics(statistics: FloatArray) -> None:
    """Raise ValueError unless ``statistics`` is ``(n, k)`` with n of at least 2 and every number finite."""
    if statistics.ndim != 2:
        raise ValueError(f"statistics have shape (examples, k), got {statistics.shape}")
    if len(statistics) < 2:
        raise ValueError(f"a bootstrap needs at least 2 examples, got {len(statistics)}")
    _finite(statistics, "a statistic")


def _finite(values: FloatArray, what: str) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{what} is not finite; a missing answer must be scored as wrong, never left out")
    return array
