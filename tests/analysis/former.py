"""The intervals of earlier versions, written anew from their description: what simulations print beside today's.

Percentiles of resampled items, expanded to Student's t over all tasks, unless fewer than ten units of all tasks
together differ from the most frequent change: then Gaffke's interval of all units pooled, by drawing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtr, stdtrit

from spillover.records import FloatArray

CHANGES_NEEDED = 10
DRAW_COUNT = 4000


@dataclass(frozen=True, eq=False)
class Part:
    """A task: its units' mean changes, their shares in the sum, ``(n,)``, and its resampled part of the sum."""

    means: FloatArray
    weights: FloatArray
    replicates: FloatArray


@dataclass(frozen=True)
class Former:
    low: float
    high: float
    p_value: float
    """1 where few units changed: there was none then."""
    nothing_lost: bool


def former(parts: Sequence[Part], *, margin: float, level: float = 0.95) -> Former:
    if sum(_changed_count(part.means) for part in parts) < CHANGES_NEEDED:
        means, weights = (np.concatenate([getattr(part, name) for part in parts]) for name in ("means", "weights"))
        low, high, lower = _pooled(means, weights, [(1 - level) / 2, (1 + level) / 2, 0.05])
        return Former(low, high, 1.0, lower > -margin)
    freedoms = np.array([len(part.means) - 1.0 for part in parts])
    variances = np.array([part.replicates.var(ddof=1) for part in parts]) * (freedoms + 1) / freedoms
    total = float(variances.sum())
    freedom, error = total**2 / float((variances**2 / freedoms).sum()), np.sqrt(total)
    replicates = np.sum([part.replicates for part in parts], axis=0)
    stretch = error / float(replicates.std(ddof=1))
    tails = ndtr(stretch * stdtrit(freedom, np.array([(1 - level) / 2, (1 + level) / 2, 0.05])))
    low, high, lower = np.quantile(replicates, tails)
    value = float(sum(part.means @ part.weights for part in parts))
    return Former(float(low), float(high), float(2 * stdtr(freedom, -abs(value) / error)), bool(lower > -margin))


def _changed_count(means: FloatArray) -> int:
    changed = len(means) - int(np.unique(means.round(12), return_counts=True)[1].max())
    return len(means) if 2 * changed >= len(means) else changed


def _pooled(means: FloatArray, weights: FloatArray, tails: Sequence[float]) -> list[float]:
    value, count = float(weights @ means), len(means)
    alike, counts = np.unique(np.column_stack([means, weights]).round(12), axis=0, return_counts=True)
    imagined = -np.log1p(-(np.arange(DRAW_COUNT) + 0.5) / DRAW_COUNT)
    drawn = np.random.default_rng(0).standard_gamma(counts, size=(DRAW_COUNT, len(counts)))
    pull, heavy = drawn @ (count * alike[:, 1] * (alike[:, 0] - value)), count * float(weights @ weights)
    low, high = ((pull + imagined * heavy * (end - value)) / (drawn.sum(axis=1) + imagined) for end in (-1, 1))
    return [value + float(np.quantile(low if tail < 0.5 else high, tail)) for tail in tails]
