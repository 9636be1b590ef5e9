"""Made worlds whose true difference is known: how often intervals hold it, and how often tests find what is not there.

Base and variant are right or wrong (or score between 0 and 1) on items drawn from a known distribution; one world is
one study. Worlds take turns with a few sets of resampling counts, because drawing them is most of the work.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.analysis.cells import ResampledScore
from spillover.analysis.inference import Inference, infer, mcnemar_p_value
from spillover.analysis.paired import resample_counts
from spillover.records import FloatArray, MetricCard
from tests.analysis.bootstrap import resampled_values
from tests.analysis.made_scores import share

ACCURACY = MetricCard("accuracy", share, "share")
TURNS = 7
Draw = Callable[[np.random.Generator], tuple[FloatArray, FloatArray]]
"""One world: base and variant, ``(n,)`` each."""


@dataclass
class Found:
    """Shares of the worlds."""

    covered: float
    significant: float
    mcnemar: float
    without: float
    equivalent: float


def binary(count: int, gained: float, lost: float, *, base: float = 0.5) -> Draw:
    """Items on which the variant alone is right with probability ``gained``, the base alone with ``lost``."""

    def draw(generator: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        kind = generator.uniform(size=count)
        both = (generator.uniform(size=count) < base).astype(float)
        own = np.where(kind < gained, 1.0, np.where(kind < gained + lost, 0.0, both))
        other = np.where(kind < gained, 0.0, np.where(kind < gained + lost, 1.0, both))
        return other, own

    return draw


def overlap(count: int, shift: float) -> Draw:
    """Scores between 0 and 1 such as ROUGE-L: many zeros, a long tail."""

    def draw(generator: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        easy = generator.beta(1, 4, count)
        change = generator.beta(1, 6, count) - 1 / 7
        return easy, np.asarray(easy + 0.5 * change + shift)

    return draw


def clustered(clusters: int, size: int) -> Draw:
    """Items of which ``size`` share a source, whose difference moves together; the true difference is 0."""

    def draw(generator: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        shared = np.repeat(generator.normal(0, 0.1, clusters), size)
        return np.full(clusters * size, 0.5), 0.5 + shared + generator.normal(0, 0.1, clusters * size)

    return draw


def worlds(draws: list[Draw], truth: float, *, count: int, size: int = 1, resample_count: int = 2000) -> Found:
    """Try ``count`` worlds; each draw is a tested task, ``size`` items in turn share a source."""
    generator = np.random.default_rng(0)
    counts: dict[tuple[int, ...], tuple[NDArray[np.intp], FloatArray]] = {}

    def resampled(values: FloatArray, *turn: int) -> ResampledScore:
        n = len(values)
        if (n, *turn) not in counts:
            units = np.arange(n) // size
            drawn = resample_counts(n // size, seed=hash((n, *turn)) % 2**32, resample_count=resample_count)
            counts[n, *turn] = units, drawn.take(units, axis=1)
        units, weights = counts[n, *turn]
        statistics = np.column_stack([values, np.ones(n)])
        replicates = resampled_values(statistics, weights, share)
        return ResampledScore(float(values.mean()), replicates, (), statistics, units)

    results: list[Inference] = []
    exact: list[float | None] = []
    for world in range(count):
        pairs = []
        for task, draw in enumerate(draws):
            base, own = (resampled(values, task, world % TURNS) for values in draw(generator))
            pairs.append([(own, base)])
        results.append(infer(pairs, ACCURACY, level=0.95, margin=0.02))
        exact.append(mcnemar_p_value(*pairs[0][0]))
    given = [item for item in results if item.low is not None and item.high is not None]
    return Found(
        covered=float(np.mean([item.low <= truth <= item.high for item in given])) if given else float("nan"),
        significant=float(np.mean([item.p_value is not None and item.p_value < 0.05 for item in results])),
        mcnemar=float(np.mean([p is not None and p < 0.05 for p in exact])),
        without=1 - len(given) / len(results),
        equivalent=float(np.mean([bool(item.is_equivalent) for item in results])),
    )
