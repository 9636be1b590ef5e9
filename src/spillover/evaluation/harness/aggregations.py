"""The aggregations of lm-eval that are functions of sums over items, so that they can be resampled."""

from collections.abc import Callable, Mapping

import numpy as np

from spillover.records import FloatArray

Combine = Callable[[FloatArray], FloatArray]


def mean(totals: FloatArray) -> FloatArray:
    """Statistics (value, weight) to their mean."""
    return totals[..., 0] / totals[..., 1]


def perplexity(totals: FloatArray) -> FloatArray:
    """The exponential of the mean negative log-likelihood, as lm-eval's perplexity and weighted_perplexity."""
    return np.asarray(np.exp(-totals[..., 0] / totals[..., 1]))


def bits(totals: FloatArray) -> FloatArray:
    """The mean negative log-likelihood in bits."""
    return np.asarray(-totals[..., 0] / totals[..., 1] / np.log(2))


COMBINE: Mapping[str, Combine] = {
    "mean": mean,
    "perplexity": perplexity,
    "weighted_perplexity": perplexity,
    "bits_per_byte": bits,
}
"""Name of a function of ``lm_eval.api.metrics`` to what it makes of summed statistics."""

USUAL: Mapping[str, str] = {
    "perplexity": "perplexity",
    "word_perplexity": "weighted_perplexity",
    "byte_perplexity": "weighted_perplexity",
    "bits_per_byte": "bits_per_byte",
}
"""Metric to its aggregation, where that is not the mean."""
WEIGHTED = ("weighted_perplexity", "bits_per_byte")
"""Aggregations of pairs (log-likelihood in nats, its weight)."""


def item_statistics(value: object, aggregation: str) -> tuple[float, float] | None:
    """Return (value, weight) of one item, a plain number weighing 1; None where it is not what is aggregated."""
    if aggregation in WEIGHTED:
        if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(part, int | float) for part in value):
            return (float(value[0]), float(value[1]))
    elif isinstance(value, bool | int | float | np.number | np.bool_):
        return (float(value), 1.0)
    return None
