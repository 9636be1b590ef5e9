"""What verdicts in a prompt came to: accuracies, overrides, copying, and one sentence of advice by a stated rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spillover.analysis.wording import signed
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
        """Whether any shown label is not the classifier's own."""
        return self.items.shown != self.items.own


def receipt_numbers(results: StudyResults, items: ReceiptItems, *, resample_count: int, level: float) -> ReceiptNumbers:
    """Return what one cell comes to."""
    right = {
        name: np.array([answer == target for answer, target in zip(answers, items.targets, strict=True)])
        for name, answers in (
            ("alone", items.alone),
            ("classifier", items.own),
            ("together", items.final),
            ("product", items.product),
        )
    }
    scores = _scores(results, items, right, resample_count)
    overridden = _differ(items.final, items.own)
    count, hits = int(overridden.sum()), int((overridden & right["together"]).sum())
    ends = wilson_of(hits, count, level) if count else None
    held = _differ(items.shown, items.own)
    seen = held if held.any() else np.ones(len(held), dtype=bool)
    return ReceiptNumbers(
        items,
        alone=float(right["alone"].mean()),
        classifier=float(right["classifier"].mean()),
        together=float(right["together"].mean()),
        product=float(right["product"].mean()),
        oracle=float((right["alone"] | right["classifier"]).mean()),
        less_classifier=_difference(results, scores, "classifier", level),
        less_alone=_difference(results, scores, "alone", level),
        override_count=count,
        override_precision=hits / count if count else None,
        override_low=ends[0] if ends else None,
        override_high=ends[1] if ends else None,
        helpful_count=hits,
        harmful_count=int((right["classifier"] & ~right["together"]).sum()),
        copied=float((~_differ(items.final, items.shown))[seen].mean()),
        copied_alone=float((~_differ(items.alone, items.shown))[seen].mean()),
        copied_of=int(seen.sum()),
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


def _difference(results: StudyResults, scores: Mapping[str, ResampledScore], other: str, level: float) -> Difference:
    pair = (scores["together"], scores[other])
    told: Inference = infer([[pair]], results.metrics[METRIC], level=level, margin=results.margin)
    return Difference(pair[0].value - pair[1].value, told.low, told.high, told.note)


@dataclass(frozen=True, slots=True)
class Advice:
    """One sentence on a task, by the rule of `RULE`."""

    found: ReceiptNumbers
    sentence: str


RULE = (
    f"A model copies where {COPIES:.0%} or more of its answers are the label it is shown, in the control if there is "
    "one. Then the better of classifier and model alone is the choice. Otherwise receipts are advised where they are "
    "clearly above both; if not, the better of both alone is."
)


def advices(found: Sequence[ReceiptNumbers]) -> tuple[Advice, ...]:
    """Return a sentence for every cell with true receipts, by the question's own scoring."""
    own = [row for row in found if row.items.scoring == SCORINGS[0]]
    return tuple(Advice(row, _sentence(row, _control(row, own))) for row in own if not row.is_control)


def _control(row: ReceiptNumbers, found: Sequence[ReceiptNumbers]) -> ReceiptNumbers | None:
    """Return the first control in the same cell: another ask of the same model, with the same classifier."""
    cell = row.items.cell
    for other in found:
        is_same = replace(other.items.cell, ask=cell.ask) == cell and other.items.classifier == row.items.classifier
        if other.is_control and is_same and other.items.asked.variant == row.items.asked.variant:
            return other
    return None


def _sentence(row: ReceiptNumbers, control: ReceiptNumbers | None) -> str:
    name, gap = row.items.classifier, row.alone - row.classifier
    better = "the model alone" if gap > 0 else f"the classifier {name}"
    lead = f"{better}: {signed(100 * abs(gap), 0)} points over {'the classifier' if gap > 0 else 'the model alone'}"
    if gap == 0:
        lead = f"{better}, which is as good as the model alone"
    copied = control.copied if control else row.copied
    if copied >= COPIES:
        what = "whether it is the classifier's or not" if control else "as far as can be seen without a control"
        return f"It copies: {copied:.0%} of answers are the label shown, {what}. Use {lead}."
    differences = (row.less_classifier, row.less_alone)
    if all(item.low is not None and item.low > 0 for item in differences):
        least = min(item.value for item in differences)
        return f"Use both: with receipts it is {100 * least:.0f} points above the better of the two alone."
    return f"Receipts are not shown to be above the better of the two alone. Use {lead}."
