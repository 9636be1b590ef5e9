"""Metrics as per-example statistics whose totals become a value, so that the bootstrap comes free."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from spillover.errors import SpilloverError
from spillover.evaluation import label_metrics, text_metrics
from spillover.evaluation.choice import Scoring, chosen_answer
from spillover.prompts.answers import is_bare_label
from spillover.records import RIGHT_ANSWERS, FloatArray, MetricCard, Prediction
from spillover.registry import Registry

BLEU_ORDER = 4


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's two halves."""

    card: MetricCard
    statistics: Callable[[Sequence[Prediction], Scoring], FloatArray]
    """Predictions to ``(n, k)``."""
    needs: Literal["any answer", "a choice", "an answer set"] = "any answer"
    """What a task must have: ``a choice`` is an answer set or options of each row."""


METRICS: Registry[Metric] = Registry("metric")


def statistics(metric: str, predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return a metric's per-example statistics ``(n, k)``.

    Raises:
        SpilloverError: If there is no prediction or a statistic is not finite.
    """
    if not predictions:
        raise SpilloverError(f"{metric} over no predictions has no value")
    values = METRICS[metric].statistics(predictions, scoring)
    if not np.isfinite(values).all():
        raise SpilloverError(f"{metric} is not finite for {int((~np.isfinite(values)).any(axis=1).sum())} predictions")
    return values


def _mean(totals: FloatArray) -> FloatArray:
    """Statistics (value, 1) to their mean."""
    return totals[..., 0] / totals[..., 1]


def _with_count(values: Sequence[float]) -> FloatArray:
    return np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))], axis=1)


def _correct(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    return _with_count([float(chosen_answer(prediction, scoring) == prediction.target) for prediction in predictions])


def _bare_labels(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    return _with_count([float(is_bare_label(p.answer, scoring.trained_answers)) for p in predictions])


def _rouge_l(predictions: Sequence[Prediction], _: Scoring) -> FloatArray:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    return _with_count([scorer.score(p.target, p.answer)["rougeL"].fmeasure for p in predictions])


def _bleu_counts(predictions: Sequence[Prediction], _: Scoring) -> FloatArray:
    """Matches and totals of 1- to 4-grams, then generated and reference length: ten sums."""
    from sacrebleu.metrics.bleu import BLEU

    scorer = BLEU(effective_order=True)  # of no effect on the counts; sacreBLEU warns without it
    rows = []
    for prediction in predictions:
        score = scorer.sentence_score(prediction.answer, [prediction.target])
        rows.append([*score.counts, *score.totals, score.sys_len, score.ref_len])
    return np.array(rows, dtype=np.float64)


def _bleu(totals: FloatArray) -> FloatArray:
    """Corpus BLEU with exponential smoothing of orders without a match, as sacreBLEU's default."""
    matches, counts = totals[..., :BLEU_ORDER], totals[..., BLEU_ORDER : 2 * BLEU_ORDER]
    generated, reference = totals[..., -2], totals[..., -1]
    missing = (matches == 0) & (counts > 0)
    smoothing = np.power(2.0, np.cumsum(missing, axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        precisions = np.where(missing, 1 / (smoothing * counts), matches / counts)
        brevity = np.where(generated < reference, np.exp(1 - reference / generated), 1.0)
        value = 100 * brevity * np.exp(np.log(precisions).mean(axis=-1))
    scored = (counts > 0).all(axis=-1) & (matches > 0).any(axis=-1)
    return np.where(scored, value, 0.0)


LOSSES = ("label_prior_loss", "format_loss", "remaining_loss")
"""The parts that 1 less accuracy consists of, for tasks with an answer set."""


def _lower(name: str, combine: Callable[[FloatArray], FloatArray] = _mean, unit: str = "share") -> MetricCard:
    return MetricCard(name, combine, unit, higher_is_better=False)


_ENTRIES = (
    Metric(MetricCard("accuracy", _mean, "share", own_kind=RIGHT_ANSWERS), _correct),
    Metric(MetricCard("rouge_l", _mean, "share"), _rouge_l),
    Metric(MetricCard("bleu", _bleu, "points"), _bleu_counts),
    Metric(_lower("label_share"), _bare_labels),
    Metric(MetricCard("numeric_match", _mean, "share", own_kind=RIGHT_ANSWERS), text_metrics.numeric_matches),
    Metric(_lower("unparsed"), text_metrics.unparsed),
    Metric(MetricCard("token_f1", _mean, "share"), text_metrics.token_f1),
    Metric(
        MetricCard("macro_f1", label_metrics.macro_f1, "share"), label_metrics.confusion_counts, needs="an answer set"
    ),
    Metric(
        MetricCard("weighted_f1", label_metrics.weighted_f1, "share"),
        label_metrics.confusion_counts,
        needs="an answer set",
    ),
    Metric(
        MetricCard("mcc", label_metrics.matthews_correlation, "correlation"),
        label_metrics.correlation_counts,
        needs="an answer set",
    ),
    Metric(_lower("ece", label_metrics.expected_calibration_error), label_metrics.calibration_gaps, needs="a choice"),
    Metric(_lower("brier", unit="squared distance"), label_metrics.squared_distances, needs="a choice"),
    Metric(_lower("label_prior_loss"), label_metrics.label_prior_loss, needs="an answer set"),
    Metric(_lower("format_loss"), label_metrics.format_loss, needs="an answer set"),
    Metric(_lower("remaining_loss"), label_metrics.remaining_loss, needs="an answer set"),
)
_TITLES = {
    "rouge_l": "ROUGE-L",
    "bleu": "BLEU",
    "label_share": "label words",
    "numeric_match": "numeric match",
    "unparsed": "no number given",
    "token_f1": "word F1",
    "macro_f1": "macro-F1",
    "weighted_f1": "weighted F1",
    "mcc": "MCC",
    "ece": "calibration error",
    "brier": "Brier score",
}
"""What people call a metric, where that is not its name in files."""
for _entry in _ENTRIES:
    _title = _TITLES.get(_entry.card.name, _entry.card.name)
    METRICS.register(_entry.card.name)(replace(_entry, card=replace(_entry.card, name=_title)))
