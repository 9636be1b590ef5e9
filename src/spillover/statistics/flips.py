"""How far a mean over sources of items may be off, from the means over random halves of the sources."""

from functools import cache

import numpy as np

from spillover.records import FloatArray
from spillover.statistics.distributions import ndtr
from spillover.statistics.gaffke import DEPTHS, Confidence
from spillover.statistics.resampled import SEEN_IN_TAIL, grown

MOST_LISTED = 13
"""Sources up to which all halves are listed; of more of them `DRAW_COUNT` are drawn."""

DRAW_COUNT = 2**13


def flipped(means: FloatArray, weights: FloatArray) -> Confidence:
    """Return how far the weighted mean of independent sources may be off, whatever their sizes.

    Under the hypothesis that the truth is ``m``, each source's weighted distance from ``m`` is as likely to have the
    other sign. The test by random signs of these sums accepts ``m`` just when it lies within the percentiles of the
    weighted means over random subsets of the sources (Hartigan 1969, "Using Subsample Values as Typical Values"), so
    that the ends are these percentiles. It is exact for sources that vary symmetrically, however uneven their sizes.
    Tails of fewer than `SEEN_IN_TAIL` subsets grow on as Student's t does.

    Args:
        means: The mean of each source, ``(n,)``.
        weights: Their shares in the mean, ``(n,)``, which sum to 1.
    """
    value, subsets = float(weights @ means), _subsets(len(means))
    subset_means = (subsets @ (weights * means)) / (subsets @ weights)
    tails = ndtr(-DEPTHS)
    seen = tails[tails >= SEEN_IN_TAIL / len(subset_means)]
    low, high = np.quantile(subset_means, seen), np.quantile(subset_means, 1 - seen)
    freedom = len(means) - 1.0
    return Confidence(value, *(grown(np.maximum(part, 0.0), freedom) for part in (value - low, high - value)))


@cache
def _subsets(count: int) -> FloatArray:
    """Return subsets of the sources that are not empty, as zeros and ones ``(subsets, count)``."""
    if count <= MOST_LISTED:
        numbers = np.arange(1, 2**count)
        return ((numbers[:, None] >> np.arange(count)) & 1).astype(np.float64)
    drawn = (np.random.default_rng(count).random((DRAW_COUNT, count)) < 0.5).astype(np.float64)
    return drawn[drawn.any(axis=1)]
