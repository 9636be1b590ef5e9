"""Means of the differences to the base over in-domain, out-of-domain and cross-task cells."""

from collections.abc import Sequence
from dataclasses import dataclass

from spillover.analysis.readings import SIGNIFICANT, Change, Reading, Subject, subject_of
from spillover.records import Relation, StudyResults
from spillover.statistics.cells import Scores


@dataclass(frozen=True, slots=True)
class RelationSummary:
    """The mean difference of a variant to the base over all cells of one relation and one kind of metric."""

    variant: str
    relation: Relation
    kind: str
    """What the cells' primary metrics measure, see `MetricCard.kind`: accuracy and ROUGE-L have no mean."""
    unit: str
    """Of the difference."""
    higher_is_better: bool
    tasks: tuple[str, ...]
    cell_count: int
    item_count: int
    """Distinct examples; an example tested at several shot counts is one."""
    mean_difference: float
    low: float | None
    """Of the interval; None where no interval would be honest (see ``note``)."""
    high: float | None
    base_mean: float
    variant_mean: float
    p_value: float | None = None
    """Of no difference, two-sided; not adjusted."""
    adjusted_p_value: float | None = None
    """The same after Holm over all rows and tasks of the study; None where the recipe's several seeds are judged."""
    change: Change | None = None
    """What is known of the difference; None where the recipe's several seeds are judged."""
    is_equivalent: bool | None = None
    """Whether the difference is shown to be smaller than the margin, either way."""
    nothing_lost: bool | None = None
    """Whether a loss of the margin or more is refuted."""
    largest_loss: float | None = None
    """The largest loss that is not excluded, one-sided at 95 %, over the cells that could have shown one."""
    note: str = ""

    @property
    def reading(self) -> str:
        """What is known of the difference, in words, and whether its interval says more than holds after adjustment."""
        if self.change is None:
            return "see its recipe"
        excludes_zero = self.low is not None and self.high is not None and not self.low <= 0 <= self.high
        is_significant = self.adjusted_p_value is not None and self.adjusted_p_value < SIGNIFICANT
        return f"{self.change}{' (not after adjustment)' if excludes_zero and not is_significant else ''}"


def relation_summaries(
    results: StudyResults, scores: Scores, judged: Sequence[Subject], *, level: float
) -> tuple[RelationSummary, ...]:
    """Return one summary per variant, relation and kind of metric, over the primary metrics.

    The difference is taken per cell and averaged over cells, so that every cell weighs the same. A relation without
    cells is absent.

    Args:
        results: Of the study.
        scores: Of the study.
        judged: Its variants, and recipes with several seeds: what is judged by its recipe has no change of its own.
        level: Coverage of the intervals.
    """
    by_id: dict[str, list[RelationSummary]] = {}
    for subject in judged:
        for card in subject.cards:
            rows = subject.rows if len(subject.cards) == 1 else subject_of(results, scores, card, level=level).rows
            by_id[card.id] = [_summary(card.id, row, is_judged=len(subject.cards) == 1) for row in rows]
    return tuple(row for card in results.variants for row in by_id.get(card.id, ()))


def _summary(variant: str, row: Reading, *, is_judged: bool) -> RelationSummary:
    mean, found = row.mean, row.mean.found
    return RelationSummary(
        variant=variant,
        relation=row.relation,
        kind=row.metric.kind,
        unit=row.metric.unit,
        higher_is_better=row.metric.higher_is_better,
        tasks=row.tasks,
        cell_count=row.cell_count,
        item_count=row.item_count,
        mean_difference=mean.difference,
        low=found.low,
        high=found.high,
        base_mean=mean.base_mean,
        variant_mean=mean.variant_mean,
        p_value=found.p_value,
        adjusted_p_value=row.adjusted_p_value,
        change=row.change if is_judged else None,
        is_equivalent=found.is_equivalent,
        nothing_lost=found.nothing_lost,
        largest_loss=row.largest_loss,
        note=found.note,
    )
