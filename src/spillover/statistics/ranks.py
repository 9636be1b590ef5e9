"""Correlations of scores and of their ranks, weighted so that resamples are one matrix product."""

import numpy as np
from numpy.typing import NDArray

from spillover.records import FloatArray
from spillover.statistics.paired import ROUNDING

LEAST_COUNT = 4
"""Three values have only six orders: chance alone makes a perfect rank correlation one time in six."""


def ranks(values: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """Return each value's rank among ``values`` ``(n,)``; equal ones share the mean of theirs.

    Args:
        values: ``(n,)``.
        weights: How often each value is there, ``(..., n)``; once when absent.

    Returns:
        ``(n,)``, or of the shape of ``weights``: from 1 to their sum.
    """
    below = np.less.outer(values, values).astype(np.float64) + np.equal.outer(values, values) / 2
    counts = np.ones(len(values)) if weights is None else weights
    return np.asarray(counts @ below + 0.5, dtype=np.float64)


def pearson(one: FloatArray, other: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """Return the weighted product-moment correlation over the last axis; NaN where one of both is constant."""
    counts = np.ones(one.shape[-1]) if weights is None else weights
    total = counts.sum(axis=-1, keepdims=True)
    apart = [values - (counts * values).sum(axis=-1, keepdims=True) / total for values in (one, other)]
    own, others = ((counts * part**2).sum(axis=-1) for part in apart)
    sizes = [(counts * values**2).sum(axis=-1) for values in (one, other)]
    is_told = (own > ROUNDING * sizes[0]) & (others > ROUNDING * sizes[1])
    scale = np.sqrt(np.where(is_told, own * others, 1.0))
    both = (counts * apart[0] * apart[1]).sum(axis=-1)
    return np.where(is_told, np.clip(both / scale, -1.0, 1.0), np.nan)


def spearman(one: FloatArray, other: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """Return the correlation of ranks of values ``(n,)``, for weights ``(..., n)``; NaN where one of both is constant.

    Spearman 1904, "The Proof and Measurement of Association between Two Things".
    """
    return pearson(ranks(one, weights), ranks(other, weights), weights)


def partial(one_other: FloatArray, one_third: FloatArray, other_third: FloatArray) -> FloatArray:
    """Return the correlation of two given a third, from the three of pairs; NaN where the third is one of them."""
    left = (1 - np.square(one_third)) * (1 - np.square(other_third))
    is_told = left > ROUNDING
    scale = np.sqrt(np.where(is_told, left, 1.0))
    return np.where(is_told, np.clip((one_other - one_third * other_third) / scale, -1.0, 1.0), np.nan)


def within(values: FloatArray, groups: NDArray[np.intp]) -> FloatArray:
    """Return each value less the mean of its group, ``(n,)``."""
    counts = np.bincount(groups)
    means = np.bincount(groups, weights=values) / np.maximum(counts, 1)
    return np.asarray(values - means[groups], dtype=np.float64)


def shuffled_within(groups: NDArray[np.intp], *, seed: int, count: int) -> NDArray[np.intp]:
    """Return ``count`` orders of the places ``0 .. n - 1``, ``(count, n)``, that keep every place's group."""
    keys = np.random.default_rng(seed).random((count, len(groups)))
    order = np.argsort(groups, kind="stable")
    shuffled = np.argsort(keys + groups, axis=1)  # by group, at random within it: the key is below 1
    found = np.empty_like(shuffled)
    found[:, order] = shuffled
    return found
