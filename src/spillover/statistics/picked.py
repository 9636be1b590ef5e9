"""How far the best or the worst of several estimates may be off, when which one it is was picked from the same data."""

from collections.abc import Sequence

import numpy as np

from spillover.statistics.distributions import ndtr, ndtri
from spillover.statistics.gaffke import DEPTHS, Confidence, combined


def highest_of(parts: Sequence[Confidence]) -> Confidence:
    """Return how far the largest of several true values may be off.

    The largest is above a number as soon as one of them is, so its lower end is the largest of their lower ends, all of
    which have to hold together: each at a tail divided by their number (Bonferroni). It is below a number only when all
    are, the largest itself among them, so its upper end is the largest of their upper ends as they are. Whichever was
    seen to be the best, nothing is gained by having looked.
    """
    value = max(part.value for part in parts)
    together = -ndtri(ndtr(-DEPTHS) / len(parts))
    lower = np.max([part.value - np.interp(together, DEPTHS, part.below) for part in parts], axis=0)
    upper = np.max([part.value + part.above for part in parts], axis=0)
    return Confidence(value, value - lower, upper - value)


def lowest_of(parts: Sequence[Confidence]) -> Confidence:
    """Return how far the smallest of several true values may be off, see `highest_of`."""
    return _negative(highest_of([_negative(part) for part in parts]))


def mean_of_dependent(parts: Sequence[Confidence]) -> Confidence:
    """Return how far a mean may be off whose parts may all be off together: by the mean of the distances."""
    value = float(np.mean([part.value for part in parts]))
    below, above = (np.mean([getattr(part, side) for part in parts], axis=0) for side in ("below", "above"))
    return Confidence(value, below, above)


def _negative(part: Confidence) -> Confidence:
    return combined([part], [-1.0])
