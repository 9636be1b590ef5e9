"""Metrics as per-example statistics whose totals become a value, so that the bootstrap comes free."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from spillover.errors import SpilloverError
from spillover.prompts.answers import is_bare_label
from spillover.records import FloatArray, MetricCard, Prediction
from spillover.registry import Registry

BLEU_ORDER = 4


@dataclass(frozen=True, slots=True)
class Scoring:
    """What a metric may need besides the predictions."""

    trained_answers: tuple[str, ...] = ()
    """Label words of the tasks the study trains on; generations that are one of them leaked."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's two halves."""

    card: MetricCard
    statistics: Callable[[Sequence[Prediction], Scoring], FloatArray]
    """Predictions to ``(n, k)``."""


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


def _correct(predictions: Sequence[Prediction], _: Scoring) -> FloatArray:
    return _with_count([float(prediction.answer == prediction.target) for prediction in predictions])


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


_ENTRIES = (
    Metric(MetricCard("accuracy", _mean, "share"), _correct),
    Metric(MetricCard("rouge_l", _mean, "share"), _rouge_l),
    Metric(MetricCard("bleu", _bleu, "points"), _bleu_counts),
    Metric(MetricCard("label_share", _mean, "share", higher_is_better=False), _bare_labels),
)
for _entry in _ENTRIES:
    METRICS.register(_entry.card.name)(_entry)
