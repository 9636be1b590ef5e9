"""Metrics as per-example statistics whose totals become a value, so that the bootstrap comes free."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from spillover.errors import SpilloverError
from spillover.evaluation import answer_metrics, label_metrics, overlap_metrics, text_metrics
from spillover.evaluation.choice import Scoring, chosen_answer
from spillover.prompts.answers import is_bare_label
from spillover.prompts.words import words
from spillover.records import RIGHT_ANSWERS, FloatArray, MetricCard, Prediction
from spillover.registry import Registry


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's two halves."""

    card: MetricCard
    statistics: Callable[[Sequence[Prediction], Scoring], FloatArray]
    """Predictions to ``(n, k)``."""
    needs: Literal["any answer", "a choice", "an answer set"] = "any answer"
    """What a task must have: ``a choice`` is an answer set or options of each row."""
    tokens: Callable[[str], Sequence[str]] | None = None
    """What of a text is compared with another one's; None where texts are not compared by parts."""
    version: int = 1
    """Raised when its statistics change; above 1 it is part of the key of every score that has the metric."""
    text_version: int = 1
    """The same where only its statistics of generated text change."""

    def version_for(self, *, is_choice: bool) -> int:
        """Return the version of what it computes of choices, or of generated text."""
        return self.version if is_choice else max(self.version, self.text_version)


SMALLEST_LOSS = 1e-9
"""Of a value; less is rounding."""
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


def unseen(metric: Metric, references: Sequence[str]) -> tuple[str, ...]:
    """Return the references that a metric is blind to: equal to themselves they miss its best value, or no part of
    them is left to compare. Metrics that are better when lower are blind to none.
    """
    card = metric.card
    best = {"share": 1.0, "points": 100.0}.get(card.unit)
    if best is None or not card.higher_is_better or metric.needs != "any answer" or not references:
        return ()
    repeated = [Prediction(str(index), text, text) for index, text in enumerate(references)]
    values = card.combine(metric.statistics(repeated, Scoring()))
    return tuple(
        text
        for text, value in zip(references, values, strict=True)
        if value < best - SMALLEST_LOSS or (metric.tokens is not None and not metric.tokens(text))
    )


def _mean(totals: FloatArray) -> FloatArray:
    """Statistics (value, 1) to their mean."""
    return totals[..., 0] / totals[..., 1]


def _with_count(values: Sequence[float]) -> FloatArray:
    return np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))], axis=1)


def _correct(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    pairs = [(chosen_answer(prediction, scoring), prediction.target) for prediction in predictions]
    return _with_count([float(_composed(answer) == _composed(target)) for answer, target in pairs])


def _composed(text: str) -> str:
    """Return the text in NFC: a tokenizer that composes accents cannot write them as another text has them."""
    return unicodedata.normalize("NFC", text)


def _bare_labels(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    return _with_count([float(is_bare_label(chosen_answer(p, scoring), scoring.trained_answers)) for p in predictions])


LOSSES = ("label_prior_loss", "format_loss", "remaining_loss")
"""The parts that 1 less accuracy consists of, for tasks with an answer set."""

OF_JSON = (
    *("valid_json", "json_match", "json_match_valid"),
    *("json_match_answerable", "json_match_unanswerable", "hallucination"),
)
"""The metrics of answers in JSON; a task that has one of them is answered so."""


def _lower(name: str, combine: Callable[[FloatArray], FloatArray] = _mean, unit: str = "share") -> MetricCard:
    return MetricCard(name, combine, unit, higher_is_better=False)


_ENTRIES = (
    Metric(MetricCard("accuracy", _mean, "share", own_kind=RIGHT_ANSWERS), _correct, text_version=2),
    Metric(MetricCard("rouge_l", _mean, "share"), overlap_metrics.rouge_l, tokens=words, version=2),
    Metric(
        MetricCard("bleu", overlap_metrics.bleu, "points"), overlap_metrics.bleu_counts, tokens=str.split, version=2
    ),
    Metric(MetricCard("chrf", overlap_metrics.chrf, "points"), overlap_metrics.chrf_counts, tokens=str.split),
    Metric(_lower("label_share"), _bare_labels, text_version=2),
    Metric(
        MetricCard("numeric_match", _mean, "share", own_kind=RIGHT_ANSWERS), text_metrics.numeric_matches, version=2
    ),
    Metric(_lower("unparsed"), text_metrics.unparsed, version=2),
    Metric(MetricCard("token_f1", _mean, "share"), text_metrics.token_f1, tokens=text_metrics.plain_words, version=2),
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
    Metric(MetricCard("valid_json", _mean, "share"), answer_metrics.valid_json),
    Metric(MetricCard("json_match", _mean, "share", own_kind=RIGHT_ANSWERS), answer_metrics.json_match),
    Metric(MetricCard("json_match_valid", answer_metrics.share, "share"), answer_metrics.json_match_valid),
    Metric(MetricCard("json_match_answerable", answer_metrics.share, "share"), answer_metrics.json_match_answerable),
    Metric(
        MetricCard("json_match_unanswerable", answer_metrics.share, "share"), answer_metrics.json_match_unanswerable
    ),
    Metric(_lower("hallucination", answer_metrics.share), answer_metrics.hallucination),
)
_TITLES = {
    "rouge_l": "ROUGE-L",
    "bleu": "BLEU",
    "chrf": "chrF",
    "label_share": "label words",
    "numeric_match": "numeric match",
    "unparsed": "no number given",
    "token_f1": "word F1",
    "macro_f1": "macro-F1",
    "weighted_f1": "weighted F1",
    "mcc": "MCC",
    "ece": "calibration error",
    "brier": "Brier score",
    "valid_json": "valid JSON",
    "json_match": "exact match",
    "json_match_valid": "exact match of valid JSON",
    "json_match_answerable": "exact match with an answer",
    "json_match_unanswerable": "exact match without an answer",
    "hallucination": "hallucination rate",
}
"""What people call a metric, where that is not its name in files."""
for _entry in _ENTRIES:
    _title = _TITLES.get(_entry.card.name, _entry.card.name)
    METRICS.register(_entry.card.name)(replace(_entry, card=replace(_entry.card, name=_title)))
