"""The exact tail of a weighted sum of exponential numbers, from its transform: the oracle of Gaffke's ends."""

import numpy as np
from scipy.optimize import brentq

from spillover.records import FloatArray

_STEPS = np.linspace(0.0, 15.0, 501)


def exact_tail(pulls: FloatArray, counts: FloatArray) -> float:
    """Return ``P(sum of pulls * gamma(counts) <= 0)``.

    It is the integral of ``M(s) / -s`` along a vertical line left of zero, divided by ``2 pi i``, with the moment
    generating function ``M(s) = prod((1 - s * pull) ** -count)``. On the line through the saddlepoint the integrand
    does not oscillate, so that tails of 1e-14 keep their digits.
    """
    least, most = float(pulls.min()), float(pulls.max())
    if least >= 0 or most <= 0:
        return float(most <= 0)
    saddle = brentq(
        lambda at: float((counts * pulls / (1 - at * pulls)).sum()),
        (1 - 1e-14) / least,
        (1 - 1e-14) / most,
        xtol=1e-300,
        rtol=1e-14,
    )
    if saddle > 0:
        return 1 - exact_tail(-pulls, counts)
    saddle = min(saddle, -1e-3 / float(np.sqrt((counts * pulls**2).sum())))  # off the pole at zero
    width = 0.1 / float(np.sqrt((counts * (pulls / (1 - saddle * pulls)) ** 2).sum()))
    line = saddle + 1j * width * np.sinh(_STEPS)
    logarithm = -(np.log(1 - line[:, None] * pulls) @ counts)
    return float(np.trapezoid((np.exp(logarithm) / -line).real * width * np.cosh(_STEPS), _STEPS) / np.pi)
