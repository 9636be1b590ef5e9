"""What other programs' metrics are: how their items add up, so that they can be resampled, and in which unit."""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from spillover.records import RIGHT_ANSWERS, FloatArray, MetricCard

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

UNITS: Mapping[str, str] = {"perplexity": "perplexity", "weighted_perplexity": "perplexity", "bits_per_byte": "bits"}
"""Aggregation to its unit; that of a mean is the one of its values."""
RIGHT = frozenset({"acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "em"})
"""Metrics of lm-eval that are a share of answers which are right."""
CORRELATIONS = frozenset({"mcc", "matthews", "correlation", "pearson", "pearsonr", "spearman", "spearmanr", "kendall"})
"""Words in the name of a metric of -1..1, whatever its values are here."""
POINTS = re.compile(r"(?<![a-z])(sacrebleu|bleu|chrf|rouge|ter(?![a-z]))")
"""In the name of a metric whose usual scale is 0..100."""


def plain_name(metric: str) -> str:
    """Return a metric's name without the filter or the aggregation that ours has behind it."""
    return re.split(r" \(|, ", metric, maxsplit=1)[0]


def metric_card(
    name: str, aggregation: str, statistics: Sequence[FloatArray], *, higher_is_better: bool, is_right: bool
) -> MetricCard:
    """Return the card of a metric of another program.

    Args:
        name: As the report has it.
        aggregation: A name of `COMBINE`.
        statistics: All there are of it, ``(n, 2)`` a cell.
        higher_is_better: As its program says.
        is_right: Whether its values say which answers are right.
    """
    unit = UNITS.get(aggregation) or _unit(plain_name(name), np.concatenate([s[:, 0] / s[:, 1] for s in statistics]))
    kind = RIGHT_ANSWERS if is_right and unit == "share" else ""
    return MetricCard(name, COMBINE[aggregation], unit, higher_is_better, own_kind=kind)


def primary_metric(cards: Mapping[str, MetricCard]) -> str:
    """Return the first metric that enters means over tasks, else the first."""
    return next((n for n, card in cards.items() if card.unit == "share" and card.higher_is_better), next(iter(cards)))


def _unit(name: str, values: FloatArray) -> str:
    """Return the unit of a mean of values: by what the name promises where it says so, else by the values."""
    low, high = values.min(), values.max()
    if low >= -1 and high <= 1 and CORRELATIONS & set(re.split(r"[^a-z]+", name.lower())):
        return "correlation"
    if low >= 0 and high <= 1:
        return "share"
    # 1..10 lies within 0..100 as well: only a name makes values points.
    return "points" if low >= 0 and high <= 100 and POINTS.search(name.lower()) else "grade"


def item_statistics(value: object, aggregation: str) -> tuple[float, float] | None:
    """Return (value, weight) of one item, a plain number weighing 1; None where it is not what is aggregated."""
    if aggregation in WEIGHTED:
        if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(part, int | float) for part in value):
            return (float(value[0]), float(value[1]))
    elif isinstance(value, bool | int | float | np.number | np.bool_):
        return (float(value), 1.0)
    return None
