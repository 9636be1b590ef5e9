"""The sentence and the light that sum up a variant, and how differences are put into words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from spillover.analysis.relations import RelationSummary, enters_means
from spillover.records import Measurement, Relation, StudyResults, VariantCard

Light = Literal["keeps", "unclear", "mixed", "loses"]

RULE = (
    "A variant keeps when every relation is gained (the whole 95 % interval of its mean difference to the base lies "
    "above zero) or shown to have lost less than {margin:g} (one-sided test at 5 %), loses when some relation's whole "
    "interval lies below zero, is mixed when it gains one and loses another, and is unclear otherwise: too few items "
    "to tell. An unstated relation's gain may be on its own task, so it does not count."
)

LABEL_SHARE = "label_share"
"""The metric that counts generations which are a bare label word."""

LABEL_SHARE_MENTIONED = 0.1
"""From this share on a verdict mentions label words in generations; below it a few coincidences can explain them."""

NAMED_TASK_COUNT = 3
"""Tasks with negative transfer that a sentence names; the matrix marks all."""


class Change(StrEnum):
    """What an interval says of a difference."""

    GAINED = "gained"
    LOST = "lost"
    KEPT = "nothing lost"
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
    negative_transfer: tuple[str, ...] = ()
    """Tasks it was not trained on and in which some cell is significantly below the base, after Holm's adjustment."""


_WHERE = {
    Relation.IN_DOMAIN: "its task",
    Relation.OUT_OF_DOMAIN: "out of domain",
    Relation.CROSS_TASK: "across tasks",
    Relation.UNSTATED: "over the tested tasks, of which any may be its own",
}


def change(low: float | None, high: float | None, *, nothing_lost: bool | None = False) -> Change:
    """Return what an interval of a difference says, when higher is better.

    Args:
        low: Lower end of the interval; None where there is none.
        high: Upper end.
        nothing_lost: Whether a loss as large as the margin is refuted.
    """
    if low is not None and low > 0:
        return Change.GAINED
    if high is not None and high < 0:
        return Change.LOST
    return Change.KEPT if nothing_lost else Change.UNCLEAR


def light(changes: Sequence[Change]) -> Light:
    """Return the light of a variant from the changes of its relations, see `RULE`."""
    if Change.LOST in changes:
        return "mixed" if Change.GAINED in changes else "loses"
    return "unclear" if Change.UNCLEAR in changes else "keeps"


def signed(value: float, digits: int = 2) -> str:
    """Write a difference with its sign: ``+0.21``, ``−0.05``, ``±0.00`` for what rounds to zero."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return f"±{text}"
    return f"{'+' if value > 0 else '−'}{text}"


def interval_words(low: float | None, high: float | None) -> str:
    """Write an interval: ``[−0.09, −0.01]``; with more digits where two would round an end to zero."""
    if low is None or high is None:
        return "(no interval)"
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
        changes = {
            summary.relation: change(summary.low, summary.high, nothing_lost=summary.nothing_lost) for summary in own
        }
        numbers = tuple(_number(summary, results) for summary in own)
        clauses = ", ".join(_clause(relation, outcome, results.margin) for relation, outcome in changes.items())
        harmed = _negative_transfer(results, card, measurements)
        named = f"; negative transfer to {_listed(harmed)}" if harmed else ""
        reading = clauses + named + _label_words(results, card.id, measurements)
        sentence = f"{card.id}: {', '.join(numbers)}: {reading}."
        rule = RULE.format(margin=results.margin)
        found.append(Verdict(card.id, sentence, numbers, reading, light(_judged(changes)), rule, harmed))
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


def _clause(relation: Relation, outcome: Change, margin: float) -> str:
    where = _WHERE[relation]
    if outcome is Change.GAINED:
        return f"gains {where}"
    if outcome is Change.LOST:
        return f"loses {where}"
    if outcome is Change.KEPT:
        return f"nothing lost {'on ' if relation is Relation.IN_DOMAIN else ''}{where} (within {margin:g})"
    return f"no clear change {'on ' if relation is Relation.IN_DOMAIN else ''}{where}"


def _negative_transfer(
    results: StudyResults, card: VariantCard, measurements: Sequence[Measurement]
) -> tuple[str, ...]:
    """Return the tasks, other than the one trained on, of which some cell is significantly worse than the base's."""
    primary = {task.name: task.primary_metric for task in results.tasks}
    harmed = [
        row.tested_on
        for row in measurements
        if row.variant == card.id
        and row.relation != Relation.IN_DOMAIN
        and row.metric == primary[row.tested_on]
        and row.is_clear
        and (row.difference < 0) == results.metrics[row.metric].higher_is_better
    ]
    return tuple(dict.fromkeys(harmed))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED_TASK_COUNT])
    return f"{shown} and {len(names) - NAMED_TASK_COUNT} more" if len(names) > NAMED_TASK_COUNT else shown


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
