"""What knowing nothing scores on a set of items: silence, chance and the best constant answer, in any metric."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spillover.evaluation.choice import Scoring, chosen_answer
from spillover.evaluation.metrics import METRICS
from spillover.records import FloatArray, MetricCard, Prediction

REFERENCE_COUNT = 3
"""The most frequent references, at the most, that are tried as a constant text; each costs one scoring of all items."""
REFUSED_NATS = -100.0
"""Of an answer that a constant choice does not give; that of the one it gives is 0."""

BoolArray = NDArray[np.bool_]


def floors(predictions: Sequence[Prediction], scoring: Scoring, metrics: Sequence[str]) -> dict[str, float]:
    """Return what knowing nothing scores in each metric that has such a floor.

    Of choices it is the better of chance and the best constant answer, in that metric; where each row has options of
    its own a constant answer is a constant place among them. Of text it is an empty answer. Metrics that are better
    when lower have no floor, nor has one that an empty answer gives no finite value.

    Args:
        predictions: Of any model to the items; what it answered is not looked at.
        scoring: The task's.
        metrics: Names of `METRICS`.
    """
    kinds, counts = _kinds_of_items(predictions)
    rule = _raw(scoring)
    if not _are_choices(predictions, scoring):
        silence = [_answered(prediction, "") for prediction in kinds]
        return {name: value for name in _rising(metrics) if np.isfinite(value := _value(name, silence, counts, rule))}
    options = [prediction.options or scoring.answers for prediction in kinds]
    places = range(max(map(len, options)))
    constants = [[_chosen(*row, place) for row in zip(kinds, options, strict=True)] for place in places]
    given = np.array([[place < len(row) for row in options] for place in places])
    # A data set that lists the right answer first (or last) in every row does so for nobody to see.
    counted = [
        bool(scoring.answers) or any(chosen_answer(p, rule) != p.target for p in constant) for constant in constants
    ]
    found = {}
    for name in _rising(metrics):
        statistics = np.stack([METRICS[name].statistics(constant, rule) for constant in constants])
        found[name] = choice_floor(METRICS[name].card, statistics, given, counts, counted)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def constant_scores(predictions: Sequence[Prediction], scoring: Scoring, metrics: Sequence[str]) -> dict[str, float]:
    """Return what the best of the most frequent references scores as the answer to every item; nothing for choices."""
    if _are_choices(predictions, scoring):
        return {}
    rows, counts = _kinds_of_items(predictions)
    texts = frequent_texts([prediction.target for prediction in predictions])
    found = {}
    for name in _rising(metrics):
        values = [_value(name, [_answered(row, text) for row in rows], counts, scoring) for text in texts]
        if np.isfinite(best := max(values)):
            found[name] = best
    return found


def frequent_texts(texts: Sequence[str]) -> list[str]:
    """Return the few most frequent texts, the most frequent one first; the first text where none occurs twice."""
    (first, _), *others = Counter(texts).most_common(REFERENCE_COUNT)
    return [first, *(text for text, count in others if count > 1)]


def choice_floor(
    card: MetricCard, constants: FloatArray, given: BoolArray, counts: FloatArray, counted: Sequence[bool]
) -> float:
    """Return the better of what chance scores and what the best constant choice does.

    Statistics are sums over items, so that those of a uniform guess are, item by item, the mean over its answers:
    exact for shares, and the metric of the expected totals for others such as macro-F1.

    Args:
        card: Of a metric that is better when higher.
        constants: Statistics of choosing the same place everywhere ``(places, n, k)``.
        given: Whether an item has so many answers ``(places, n)``.
        counts: How often each item occurs ``(n,)``.
        counted: Whether a place is an answer of its own, one a place.
    """
    guessed = (constants * given[..., None]).sum(axis=0) / given.sum(axis=0)[:, None]
    tried = [guessed, *(constant for constant, is_counted in zip(constants, counted, strict=True) if is_counted)]
    return max(float(card.combine(counts @ statistics)) for statistics in tried)


def _are_choices(predictions: Sequence[Prediction], scoring: Scoring) -> bool:
    return all(prediction.options or scoring.answers for prediction in predictions)


def _kinds_of_items(predictions: Sequence[Prediction]) -> tuple[list[Prediction], FloatArray]:
    """Return one prediction for each target and its options, and how many there are: others score the same."""
    counts = Counter((prediction.target, prediction.options) for prediction in predictions)
    first = {(prediction.target, prediction.options): prediction for prediction in reversed(predictions)}
    return [first[kind] for kind in counts], np.array(list(counts.values()), dtype=np.float64)


def _raw(scoring: Scoring) -> Scoring:
    """A constant answer is chosen whatever the calibration and its length."""
    return replace(scoring, kind="raw", length_normalised=False)


def _rising(metrics: Sequence[str]) -> list[str]:
    return [name for name in metrics if METRICS[name].card.higher_is_better]


def _answered(prediction: Prediction, text: str) -> Prediction:
    return Prediction(prediction.example_id, prediction.target, text)


def _chosen(prediction: Prediction, options: Sequence[str], place: int) -> Prediction:
    """Choose the option at a place, the last one where a row has fewer."""
    kept = min(place, len(options) - 1)
    nats = tuple(0.0 if index == kept else REFUSED_NATS for index in range(len(options)))
    return Prediction(prediction.example_id, prediction.target, options[kept], nats, options=prediction.options)


def _value(name: str, predictions: Sequence[Prediction], counts: FloatArray, scoring: Scoring) -> float:
    metric = METRICS[name]
    with np.errstate(divide="ignore", invalid="ignore"):  # a mean over an empty answer's words, say
        return float(metric.card.combine(counts @ metric.statistics(predictions, scoring)))
