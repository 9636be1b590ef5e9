"""What demonstrations add to a model: its score at k shots less its score without any, against the base's."""

from dataclasses import dataclass

from spillover.records import BASE, Cell, Relation, StudyResults
from spillover.statistics.cells import ScoreKey, Scores, cells_of
from spillover.statistics.contrasts import estimate, minus
from spillover.statistics.paired import difference


@dataclass(frozen=True, slots=True)
class InContextGain:
    """How much a variant and the base gain from the same demonstrations."""

    variant: str
    relation: Relation
    cell: Cell
    """With its shots, above zero."""
    metric: str
    base_gain: float
    """Score at the cell's shots less score at 0 shots."""
    variant_gain: float
    difference: float
    """``variant_gain - base_gain``; below zero the variant has lost some of its learning in context."""
    low: float | None
    """Of the interval; None where none would be honest."""
    high: float | None

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes zero; not adjusted for the number of rows."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def in_context_gains(results: StudyResults, scores: Scores, *, level: float) -> tuple[InContextGain, ...]:
    """Return the gain of every variant in every cell with demonstrations whose task was also tested without any.

    All four scores of a row are of the same items, so the interval is that of a difference of paired differences.
    """
    rows: list[InContextGain] = []
    for card in results.variants:
        if card.is_classifier:  # it reads no demonstrations
            continue
        for task in results.tasks:
            cells = cells_of(scores, card.id, task)
            zero = {cell.prompt_form: cell for cell in cells if cell.shots == 0}
            for cell in cells:
                if cell.shots == 0 or cell.prompt_form not in zero:
                    continue
                own, own_zero, base, base_zero = (
                    ScoreKey(model, asked, task.primary_metric)
                    for model in (card.id, BASE)
                    for asked in (cell, zero[cell.prompt_form])
                )
                variant_gain = difference(scores[own].value, scores[own_zero].value)
                base_gain = difference(scores[base].value, scores[base_zero].value)
                found = estimate([(*minus([own], [own_zero]), *minus([base_zero], [base]))], scores, level=level)
                rows.append(
                    InContextGain(
                        card.id,
                        results.relations[card.id, task.name],
                        cell,
                        task.primary_metric,
                        base_gain,
                        variant_gain,
                        difference(variant_gain, base_gain),
                        found.low,
                        found.high,
                    )
                )
    return tuple(rows)
