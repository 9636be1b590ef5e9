"""The interval of a mean difference where few items changed, of which resamples would say too much."""

from collections.abc import Sequence

import numpy as np

from spillover.records import FloatArray

DRAW_COUNT = 10_000
"""An end of a 95 % interval moves by about 2 % of its distance from the mean with the seed."""


def few_changes_intervals(means: FloatArray, weights: FloatArray, levels: Sequence[float]) -> list[tuple[float, float]]:
    """Return central intervals of a weighted mean of independent units whose values lie between -1 and 1.

    As in the Bayesian bootstrap, a draw weighs the units by exponential numbers; one imagined unit is among them, with
    the worst value there can be, -1 for the lower end and 1 for the upper (Gaffke 2005; Learned-Miller and Thomas 2019,
    arXiv 1905.06208). Of values that are one or the other of two this is the exact interval of Clopper and Pearson
    (1934). That it holds for all bounded values is proved for special cases and conjectured for the rest; the
    simulations in the tests find no exception.

    Where units weigh unequally, the imagined one weighs what a unit drawn by its weight does: ``n`` times the sum of
    squared weights, the design effect of Kish (1965). That is our choice; an average weight would miss changes that
    come in large units alone.

    Args:
        means: The mean of each unit, ``(n,)``.
        weights: Their shares in the mean, ``(n,)``, which sum to 1.
        levels: Coverage of each interval.
    """
    value, count = float(weights @ means), len(means)
    alike, multiplicities = np.unique(np.column_stack([means, weights]).round(12), axis=0, return_counts=True)
    pulls = count * alike[:, 1] * (alike[:, 0] - value)
    # Exponential numbers in even steps: most of the spread is the imagined unit's, which so has no noise of its own.
    imagined = -np.log1p(-(np.arange(DRAW_COUNT) + 0.5) / DRAW_COUNT)
    drawn = np.random.default_rng(0).standard_gamma(multiplicities, size=(DRAW_COUNT, len(multiplicities)))
    total, pull = drawn.sum(axis=1) + imagined, drawn @ pulls
    weight = count * float(weights @ weights)
    lowest, highest = ((pull + imagined * weight * (worst - value)) / total for worst in (-1, 1))
    tails = (1 - np.array(levels)) / 2
    lows, highs = value + np.quantile(lowest, tails), value + np.quantile(highest, 1 - tails)
    return [(max(-1.0, float(low)), min(1.0, float(high))) for low, high in zip(lows, highs, strict=True)]
