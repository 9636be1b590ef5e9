"""How far a mean of bounded values may be off, at every level: Gaffke's interval, and its combination over tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from spillover.records import FloatArray
from spillover.statistics.distributions import ndtr, ndtri

DEPTHS = np.linspace(0.0, 8.0, 65)
"""Normal quantiles of the levels at which ends are kept, from one tail of 0.5 to one of 6e-16. Ends are nearly linear
in them, so that what lies between two is read off the straight line."""

_TILTS = 1 / (1 + np.exp(-np.linspace(-12.0, 14.0, 105)))
"""Between 0 and 1, dense near both: of the largest tilt that the values allow."""

_SMALLEST_ROOT = 0.01
"""Below it a tail is 0.5 but for rounding."""

_LOG_DEPTHS = np.log(DEPTHS.clip(min=_SMALLEST_ROOT))

_ALIKE_DECIMALS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Confidence:
    """A value and how far the ends of its interval are from it at every level of `DEPTHS`."""

    value: float
    below: FloatArray
    """``(len(DEPTHS),)``, from the lower end to the value, rising."""
    above: FloatArray
    """``(len(DEPTHS),)``, from the value to the upper end, rising."""

    def interval(self, level: float) -> tuple[float, float]:
        """Return the central interval of a level such as 0.95."""
        if not 0 < level < 1:
            raise ValueError(f"the level of an interval lies between 0 and 1, got {level}")
        return self.lower(level / 2 + 0.5), self.upper(level / 2 + 0.5)

    def lower(self, level: float) -> float:
        """Return the number that the truth is above of, one-sided."""
        return self.value - float(np.interp(ndtri(level), DEPTHS, self.below))

    def upper(self, level: float) -> float:
        """Return the number that the truth is below of, one-sided."""
        return self.value + float(np.interp(ndtri(level), DEPTHS, self.above))

    def tail(self, bound: float) -> float:
        """Return the one-sided p-value of the truth lying on the other side of ``bound`` than the value does: the
        smallest tail whose end does not reach it, 0.5 at the most.
        """
        distances = self.below if self.value > bound else self.above
        return float(ndtr(-np.interp(abs(self.value - bound), distances, DEPTHS)))

    @property
    def p_value(self) -> float:
        """Of zero, two-sided: one less the largest level whose interval excludes zero."""
        return 2 * self.tail(0.0)


def combined(parts: Sequence[Confidence], weights: Sequence[float]) -> Confidence:
    """Return the weighted sum of independent estimates, by MOVER.

    ``value ± sqrt(sum((weight * distance to the end) ** 2))``, each end from the distances on its own side; a negative
    weight swaps a part's sides (Zou and Donner 2008, "Construction of confidence limits about effect measures").
    """
    below, above = np.zeros_like(DEPTHS), np.zeros_like(DEPTHS)
    for part, weight in zip(parts, weights, strict=True):
        nearer, farther = (part.below, part.above) if weight >= 0 else (part.above, part.below)
        below += (weight * nearer) ** 2
        above += (weight * farther) ** 2
    value = sum(weight * part.value for part, weight in zip(parts, weights, strict=True))
    return Confidence(float(value), np.sqrt(below), np.sqrt(above))


def widened(part: Confidence, half_widths: FloatArray) -> Confidence:
    """Return an estimate that is also off for an independent reason, by ``half_widths`` at each of `DEPTHS`."""
    return Confidence(part.value, np.hypot(part.below, half_widths), np.hypot(part.above, half_widths))


def gaffke(
    means: FloatArray, weights: FloatArray, *, lowest: float, highest: float, imagined: float | None = None
) -> Confidence:
    """Return how far the weighted mean of independent units may be off whose values lie in ``lowest .. highest``.

    As in the Bayesian bootstrap the units weigh exponential numbers, and one imagined unit is among them, with the
    worst value there can be: ``lowest`` for the lower end, ``highest`` for the upper (Gaffke 2005; Learned-Miller and
    Thomas 2019, arXiv 1905.06208). For values of two kinds these are the ends of Clopper and Pearson (1934), and the
    p-value of right and wrong answers is exact McNemar's (1947). That the ends hold for all bounded values is proved
    for special cases and conjectured for the rest; the simulations in the tests find no exception.

    A sum of weighted exponential numbers has its tail by saddlepoint (Barndorff-Nielsen 1986, r*): nothing is drawn,
    and a p-value of 1e-10 is about as good as one of 0.1. Of ten units or more a tail down to 1e-3 is within 6 % of the
    exact one, on either side, and one down to 1e-15 within 8 %. That moves the ends of a 95 % interval by 1.5 % of
    their distance at the most.

    Where units weigh unequally, the imagined one by default weighs what a unit drawn by its weight does: ``n`` times
    the sum of squared weights, the design effect of Kish (1965). That is our choice; an average weight would miss
    changes that come in large units alone.

    Args:
        means: The mean of each unit, ``(n,)``.
        weights: Their shares in the mean, ``(n,)``, which sum to 1.
        lowest: What a unit may have at the least.
        highest: What a unit may have at the most.
        imagined: What the imagined unit weighs, an average unit weighing 1.
    """
    value, count = float(weights @ means), len(means)
    pulls, counts = np.unique((count * weights * (means - value)).round(_ALIKE_DECIMALS), return_counts=True)
    rising, falling, times = tuple(pulls.tolist()), tuple((-pulls).tolist()), tuple(counts.tolist())
    imagined = count * float(weights @ weights) if imagined is None else imagined
    below = _distances(rising, times, imagined * (lowest - value))
    above = _distances(falling, times, imagined * (value - highest))
    return Confidence(value, np.minimum(below, value - lowest), np.minimum(above, highest - value))


@lru_cache(maxsize=4096)  # of right and wrong answers there are few kinds, which return in every variant
def _distances(pulls: tuple[float, ...], multiplicities: tuple[int, ...], worst: float) -> FloatArray:
    """Return how far the lower end is below zero, at each of `DEPTHS`.

    The end ``L`` of a tail is where ``P(sum of e * (v - L) <= 0)`` is that tail, over the units' pulls and the imagined
    ``worst``. The saddlepoint of that sum weighs each value by ``1 / (1 + tilt * v)`` so that their mean is ``L``: each
    tilt gives its end and its tail at once, and nothing has to be solved.

    Args:
        pulls: Values that occur, ``(k,)``, of mean zero over all units.
        multiplicities: How often each does, ``(k,)``.
        worst: The imagined unit's, zero or below.
    """
    values, counts = np.array([*pulls, worst]), np.array([*multiplicities, 1.0])
    lowest = float(values.min())
    if len(pulls) == 1:  # no unit differs from another: the tail has a closed form, Clopper and Pearson's
        return np.asarray(-worst * (1 - ndtr(-DEPTHS) ** (1 / sum(multiplicities))), dtype=np.float64)
    if lowest == 0:
        return np.zeros_like(DEPTHS)  # all units have the worst value there can be
    tilts = _TILTS[:, None] / -lowest
    spread = 1 + tilts * values
    shares = counts / spread
    total = shares.sum(axis=1)
    ends = (shares @ values) / total
    # What the tilted values are, divided by the saddlepoint's scale.
    scale = 1 / (1 + tilts[:, 0] * ends)
    relative = (values - ends[:, None]) / (scale[:, None] * spread)
    curvature = (counts * relative**2).sum(axis=1)
    exponent = -(np.log(spread) @ counts + counts.sum() * np.log(scale))
    root = np.sqrt(np.maximum(-2 * exponent, 0.0))
    slope = tilts[:, 0] * scale * np.sqrt(curvature)
    is_told = root > _SMALLEST_ROOT
    depths = root[is_told] + np.log(slope[is_told] / root[is_told]) / root[is_told]
    # Ends grow about as a power of the depth; linearly, a tail far out would be read a tenth too large. Beyond the
    # largest tilt, which few units reach, the end is the worst there can be.
    logarithms = np.log(np.maximum.accumulate(depths).clip(min=_SMALLEST_ROOT))
    distances = np.interp(_LOG_DEPTHS, logarithms, np.log(-ends[is_told]), right=np.log(-lowest))
    return np.asarray(np.exp(distances), dtype=np.float64)
