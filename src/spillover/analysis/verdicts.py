"""The sentence and the light that sum up a variant, and how differences are put into words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from spillover.analysis.relations import RelationSummary, enters_means
from spillover.records import Measurement, Relation, StudyResults

Light = Literal["keeps", "unclear", "mixed", "loses"]

RULE = (
    "A relation is gained when the whole interval of its mean difference to the base lies above zero, lost when it "
    "lies below, and otherwise shows no clear change, which does not mean that nothing was lost: the lower end is the "
    "loss that remains possible. A variant keeps when some relation is gained and none lost, is unclear when none is "
    "either, mixed when some is gained and some lost, and loses when some is lost, none gained. An unstated "
    "relation's gain may be on its own task: it counts as none."
)

LABEL_SHARE = "label_share"
"""The metric that counts generations which are a bare label word."""

LABEL_SHARE_MENTIONED = 0.1
"""From this share on a verdict mentions label words in generations; below it a few coincidences can explain them."""


class Change(StrEnum):
    """What an interval says of a difference."""

    GAINED = "gained"
    LOST = "lost"
    UNCLEAR = "no clear change"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happened to one variant, in one sentence."""

    variant: str
    sentence: str
    """``id: numbers: reading.``"""
    numbers: tuple[str, ...]
    """One relation each: ``in-domain +0.21 [0.15, 0.27] ROUGE-L``."""
    reading: str
    """``gains its task, loses out of domain``"""
    light: Light
    rule: str


_WHERE = {
    Relation.IN_DOMAIN: "its task",
    Relation.OUT_OF_DOMAIN: "out of domain",
    Relation.CROSS_TASK: "across tasks",
    Relation.UNSTATED: "over the tested tasks, of which any may be its own",
}


def change(low: float, high: float) -> Change:
    """Return what an interval of a difference says, when higher is better."""
    if low > 0:
        return Change.GAINED
    return Change.LOST if high < 0 else Change.UNCLEAR


def light(changes: Sequence[Change]) -> Light:
    """Return the light of a variant from the changes of its relations, see `RULE`."""
    gained, lost = Change.GAINED in changes, Change.LOST in changes
    if lost:
        return "mixed" if gained else "loses"
    return "keeps" if gained else "unclear"


def signed(value: float, digits: int = 2) -> str:
    """Write a difference with its sign: ``+0.21``, ``−0.05``, ``±0.00`` for what rounds to zero."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return f"±{text}"
    return f"{'+' if value > 0 else '−'}{text}"


def interval_words(low: float, high: float) -> str:
    """Write an interval: ``[−0.09, −0.01]``; with more digits where two would round an end to zero."""
    nearest = min((abs(value) for value in (low, high) if value != 0), default=1.0)
    digits = next((count for count in (2, 3, 4, 5) if round(nearest, count) > 0), 6)
    return f"[{plain(low, digits)}, {plain(high, digits)}]"


def plain(value: float, digits: int = 2) -> str:
    """Write a number with a true minus sign."""
    text = f"{abs(value):.{digits}f}"
    return f"−{text}" if value < 0 and float(text) != 0 else text


def verdicts(
    results: StudyResults, relations: Sequence[RelationSummary], measurements: Sequence[Measurement]
) -> tuple[Verdict, ...]:
    """Return one verdict per variant.

    Raises:
        ValueError: When a variant has no relation to judge.
    """
    found: list[Verdict] = []
    for card in results.variants:
        own = [summary for summary in relations if summary.variant == card.id]
        if not own:
            raise ValueError(
                f"{card.id}: no tested task has a share, better when higher, as its primary metric; cannot judge"
            )
        changes = {summary.relation: change(summary.low, summary.high) for summary in own}
        numbers = tuple(_number(summary, results) for summary in own)
        clauses = ", ".join(_clause(relation, outcome) for relation, outcome in changes.items())
        reading = clauses + _label_words(results, card.id, measurements)
        sentence = f"{card.id}: {', '.join(numbers)}: {reading}."
        found.append(Verdict(card.id, sentence, numbers, reading, light(_judged(changes)), RULE))
    return tuple(found)


def _judged(changes: Mapping[Relation, Change]) -> list[Change]:
    """Return the changes that decide the light."""
    own_task_may_be_in_it = changes.get(Relation.UNSTATED) is Change.GAINED
    return [Change.UNCLEAR] if own_task_may_be_in_it else list(changes.values())


def _number(summary: RelationSummary, results: StudyResults) -> str:
    names = {
        results.metrics[task.primary_metric].name
        for task in results.tasks
        if results.relations.get((summary.variant, task.name)) == summary.relation and enters_means(task, results)
    }
    metric = f" {names.pop()}" if len(names) == 1 else ""
    return f"{summary.relation} {signed(summary.mean_difference)} {interval_words(summary.low, summary.high)}{metric}"


def _clause(relation: Relation, outcome: Change) -> str:
    where = _WHERE[relation]
    if outcome is Change.GAINED:
        return f"gains {where}"
    if outcome is Change.LOST:
        return f"loses {where}"
    return f"no clear change {'on ' if relation is Relation.IN_DOMAIN else ''}{where}"


def _label_words(results: StudyResults, variant: str, measurements: Sequence[Measurement]) -> str:
    free_text = {task.name for task in results.tasks if not task.answers}
    rows = [
        row
        for row in measurements
        if row.variant == variant
        and row.metric == LABEL_SHARE
        and row.relation == Relation.CROSS_TASK
        and row.tested_on in free_text
        and row.value >= LABEL_SHARE_MENTIONED
    ]
    if not rows:
        return ""
    worst = max(rows, key=lambda row: row.value)
    return f"; {worst.value:.0%} of its answers to {worst.tested_on} ({worst.shots} shots) are bare label words"
