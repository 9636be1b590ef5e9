"""What verdicts in a prompt came to: accuracies, overrides, copying, and one sentence of advice by a stated rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spillover.analysis.wording import signed
from spillover.questions.receipts.confidence import ConfidenceBin, calibration_error, confidence_bins
from spillover.questions.receipts.reading import SCORINGS, ReceiptItems
from spillover.records import CellScores, StudyResults
from spillover.statistics.cells import ResampledScore, ScoreKey, resampled
from spillover.statistics.inference import Inference, infer, wilson_of

METRIC = "accuracy"
COPIES = 0.9
"""From this share of answers that are the shown label on, a model copies."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference of accuracies."""

    value: float
    low: float | None
    high: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReceiptNumbers:
    """One cell with verdicts beside its items; shares are of its items unless said otherwise."""

    items: ReceiptItems
    alone: float
    """Accuracy of the model asked plainly."""
    classifier: float
    """Of the classifier by itself."""
    together: float
    """Of the model with receipts."""
    product: float
    """Of the product of both models' shares."""
    oracle: float
    """Share of items on which the model alone or the classifier is right."""
    less_classifier: Difference
    """``together`` less the classifier."""
    less_alone: Difference
    """``together`` less the model alone."""
    override_count: int
    """Items whose answer is not the classifier's."""
    override_precision: float | None
    """Share of overrides that are right; None without any."""
    override_low: float | None
    """Of Wilson's interval of the precision."""
    override_high: float | None
    helpful_count: int
    """Overrides that are right; there the classifier is wrong."""
    harmful_count: int
    """Overrides of a right classifier by a wrong answer."""
    copied: float
    """P(final = shown), in controls over the items whose shown label is not the classifier's."""
    copied_alone: float
    """The same of the model's plain answers, which see no receipt."""
    copied_of: int
    """Items that both are shares of."""
    alone_less_classifier: Difference
    """The model alone less the classifier."""
    bins: tuple[ConfidenceBin, ...]
    """Of rising confidence of the classifier."""
    calibration_error: float
    """Of the classifier, by the confidence that is shown."""
    unscaled_calibration_error: float | None
    """The same before temperature scaling; None where no temperature was fitted."""
    cascade: float | None
    """Accuracy of the classifier where it is sure enough and the model alone elsewhere; None where none was asked."""
    cascade_less_classifier: Difference | None
    """That less the classifier."""
    cascade_threshold: float | None
    """Confidence above which the classifier answers, chosen on validation rows."""
    cascade_row_count: int
    """Validation rows."""
    cascade_asked_count: int
    """Items that the model answers in the cascade."""

    @property
    def override_rate(self) -> float:
        """Share of items whose answer is not the classifier's."""
        return self.override_count / len(self.items.final)

    @property
    def excess(self) -> float:
        """How much oftener the shown label is the answer for being shown."""
        return self.copied - self.copied_alone

    @property
    def is_control(self) -> bool:
        """Whether what is shown is spoilt, or any shown label is not the classifier's own."""
        return self.items.is_spoilt or self.items.shown != self.items.own


def receipt_numbers(results: StudyResults, items: ReceiptItems, *, resample_count: int, level: float) -> ReceiptNumbers:
    """Return what one cell comes to."""
    cascade = items.cascade
    given = {"alone": items.alone, "classifier": items.own, "together": items.final, "product": items.product}
    right = {
        name: ~_differ(answers, items.targets)
        for name, answers in (given | ({"cascade": cascade.answers} if cascade else {})).items()
    }
    scores = _scores(results, items, right, resample_count)

    def less(a: str, b: str) -> Difference:
        return _difference(results, scores[a], scores[b], level)

    overridden = _differ(items.final, items.own)
    count, hits = int(overridden.sum()), int((overridden & right["together"]).sum())
    ends = wilson_of(hits, count, level) if count else None
    held = _differ(items.shown, items.own)
    seen = held if held.any() else np.ones(len(held), dtype=bool)
    binned = {name: right[name].astype(np.float64) for name in ("classifier", "alone", "together")}
    return ReceiptNumbers(
        items,
        **{name: float(values.mean()) for name, values in right.items() if name != "cascade"},
        oracle=float((right["alone"] | right["classifier"]).mean()),
        less_classifier=less("together", "classifier"),
        less_alone=less("together", "alone"),
        override_count=count,
        override_precision=hits / count if count else None,
        override_low=ends[0] if ends else None,
        override_high=ends[1] if ends else None,
        helpful_count=hits,
        harmful_count=int((right["classifier"] & ~right["together"]).sum()),
        copied=float((~_differ(items.final, items.shown))[seen].mean()),
        copied_alone=float((~_differ(items.alone, items.shown))[seen].mean()),
        copied_of=int(seen.sum()),
        alone_less_classifier=less("alone", "classifier"),
        bins=confidence_bins(items.confidence, **binned, overrides=overridden.astype(np.float64)),
        calibration_error=calibration_error(items.confidence, binned["classifier"]),
        unscaled_calibration_error=(
            calibration_error(items.unscaled, binned["classifier"]) if items.unscaled else None
        ),
        cascade=float(right["cascade"].mean()) if cascade else None,
        cascade_less_classifier=less("cascade", "classifier") if cascade else None,
        cascade_threshold=cascade.threshold if cascade else None,
        cascade_row_count=cascade.row_count if cascade else 0,
        cascade_asked_count=cascade.asked_count if cascade else 0,
    )


def _differ(these: Sequence[str], those: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array([one != other for one, other in zip(these, those, strict=True)])


def _scores(
    results: StudyResults, items: ReceiptItems, right: Mapping[str, np.ndarray], resample_count: int
) -> Mapping[str, ResampledScore]:
    """Return the accuracies as the study's own statistics take them, items of one source together."""
    sources = next(
        (
            dict(zip(row.example_ids, row.groups, strict=True))
            for row in results.scores
            if row.cell.tested_on == items.cell.tested_on and row.groups
        ),
        {},
    )
    groups = tuple(sources.get(name, "") for name in items.example_ids) if sources else ()
    table = {
        ScoreKey(name, items.cell, METRIC): CellScores(
            name, items.cell, METRIC, items.example_ids, np.column_stack([values, np.ones(len(values))]), groups
        )
        for name, values in right.items()
    }
    found = resampled(results, table, resample_count=resample_count)
    return {key.variant: score for key, score in found.items()}


def _difference(results: StudyResults, a: ResampledScore, b: ResampledScore, level: float) -> Difference:
    pair = (a, b)
    told: Inference = infer([[pair]], results.metrics[METRIC], level=level, margin=results.margin)
    return Difference(pair[0].value - pair[1].value, told.low, told.high, told.note)


@dataclass(frozen=True, slots=True)
class Advice:
    """One sentence on a task, by the rule of `RULE`."""

    found: ReceiptNumbers
    sentence: str


RULE = (
    f"A model copies where {COPIES:.0%} or more of its answers are the label it is shown, in the control if there is "
    "one, and fewer are without receipts. Otherwise receipts are advised where they are clearly above both alone. Else "
    "the clearly better of both alone is, and none if neither is. Clearly: the interval of the difference leaves zero "
    "out."
)


def advices(found: Sequence[ReceiptNumbers]) -> tuple[Advice, ...]:
    """Return a sentence for every cell with true receipts, by the question's own scoring."""
    own = [row for row in found if row.items.scoring == SCORINGS[0]]
    return tuple(Advice(row, _sentence(row, _control(row, own)) + _one_label(row)) for row in own if not row.is_control)


def _one_label(row: ReceiptNumbers) -> str:
    """Return that a classifier says the same of every item, where it does: no verdict of its can help."""
    labels = set(row.items.own)
    if len(labels) > 1:
        return ""
    return (
        f" The classifier says {labels.pop()!r} of all {len(row.items.own)} items, so that its verdict tells nothing."
    )


def _control(row: ReceiptNumbers, found: Sequence[ReceiptNumbers]) -> ReceiptNumbers | None:
    """Return the first control in the same cell with other labels: another ask of the model, the same classifier."""
    cell = row.items.cell
    for other in found:
        is_same = replace(other.items.cell, ask=cell.ask) == cell and other.items.classifier == row.items.classifier
        has_other_labels = other.items.shown != other.items.own
        if has_other_labels and is_same and other.items.asked.variant == row.items.asked.variant:
            return other
    return None


def _sentence(row: ReceiptNumbers, control: ReceiptNumbers | None) -> str:
    seen = control or row
    if seen.copied >= COPIES > seen.copied_alone:
        what = "whether it is the classifier's or not" if control else "as far as can be seen without a control"
        return f"It copies: {seen.copied:.0%} of answers are the label shown, {what}. {_better_alone(row)}"
    differences = (row.less_classifier, row.less_alone)
    if all(item.low is not None and item.low > 0 for item in differences):
        least = min(item.value for item in differences)
        return f"Use both: with receipts it is {100 * least:.0f} points above the better of the two alone."
    return f"Receipts are not shown to be above the better of the two alone. {_better_alone(row)}"


def _better_alone(row: ReceiptNumbers) -> str:
    """Return which of both alone is to be used, in a sentence that says no more than the difference shows."""
    gap, name = row.alone_less_classifier, f"the classifier {row.items.classifier}"
    points = f"{100 * abs(gap.value):.0f} points"
    if gap.low is not None and gap.low > 0:
        return f"Use the model alone: {points} over {name}."
    if gap.high is not None and gap.high < 0:
        return f"Use {name}: {points} over the model alone."
    lead = f"the model alone is {signed(100 * gap.value, 0)} points from {name}"
    interval = (
        "" if gap.low is None or gap.high is None else (f", {signed(100 * gap.low, 0)} to {signed(100 * gap.high, 0)}")
    )
    return f"These items do not say which of the two is better: {lead}{interval}."
