"""Differences between two variants, or between two recipes' variants pair by pair, with paired intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from spillover.analysis.counterpart import differ_in_one_thing
from spillover.errors import UserError, unknown_name
from spillover.records import BASE, Cell, Relation, StudyResults, VariantCard
from spillover.statistics.cells import ScoreKey, Scores, resample_scores
from spillover.statistics.contrasts import estimate, minus
from spillover.statistics.inference import infer
from spillover.statistics.paired import LEVEL, RESAMPLE_COUNT, difference


@dataclass(frozen=True, slots=True)
class CellDifference:
    """What the second variant of a pair scores more than the first in one cell."""

    first: str
    second: str
    cell: Cell
    relation: Relation
    """Of the second variant to the tested task; of the first where the second is the base."""
    metric: str
    first_value: float
    second_value: float
    difference: float
    low: float | None
    """Of the interval; None where none would be honest, see ``note``."""
    high: float | None
    p_value: float | None
    """Of no difference, two-sided; not adjusted for many cells."""
    item_count: int
    note: str


@dataclass(frozen=True, slots=True)
class RelationDifference:
    """The mean of the differences over all pairs and cells of one relation and kind of metric."""

    relation: Relation
    kind: str
    """What the cells' metrics measure, see `MetricCard.kind`."""
    cell_count: int
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    seed_count: int
    """Training seeds over which the interval holds; of one it says nothing of others."""
    note: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything in which two variants or recipes differ; better or worse is the second's."""

    first: str
    second: str
    cells: tuple[CellDifference, ...]
    relations: tuple[RelationDifference, ...]
    level: float
    """Of the intervals."""


def compare(
    results: StudyResults, first: str, second: str, *, resample_count: int = RESAMPLE_COUNT, level: float = LEVEL
) -> Comparison:
    """Compare two variants by id, or all variants of two recipes that differ in one thing alone.

    Differences are second less first, of the primary metrics, on the same items. Those of recipes with several training
    seeds hold for other seeds too.

    Raises:
        UserError: On an unknown name, or when nothing of the two can be paired.
    """
    pairs = paired_variants(results, first, second)
    wanted = {BASE, *(variant for pair in pairs for variant in pair)}
    primary = {task.name: task.primary_metric for task in results.tasks}
    narrowed = replace(
        results,
        variants=tuple(card for card in results.variants if card.id in wanted),
        scores=tuple(
            row for row in results.scores if row.variant in wanted and row.metric == primary[row.cell.tested_on]
        ),
    )
    scores = resample_scores(narrowed, resample_count=resample_count)
    rows = tuple(
        _difference(results, scores, ScoreKey(one, key.cell, key.metric), key._replace(variant=other), level)
        for one, other in pairs
        for key in scores
        if key.variant == BASE and {key._replace(variant=one), key._replace(variant=other)} <= scores.keys()
    )
    kinds = list(dict.fromkeys((row.relation, results.metrics[row.metric].kind) for row in rows))
    relations = tuple(
        _mean(relation, kind, own, scores, level)
        for relation, kind in sorted(kinds, key=lambda pair: list(Relation).index(pair[0]))
        if (own := [row for row in rows if (row.relation, results.metrics[row.metric].kind) == (relation, kind)])
    )
    return Comparison(first, second, rows, relations, level)


def paired_variants(results: StudyResults, first: str, second: str) -> tuple[tuple[str, str], ...]:
    """Return the pairs of variant ids that two names stand for: of variants, of recipes, or the base.

    Variants of two recipes go together where they differ in one thing alone, see `differ_in_one_thing`.
    """
    ones, others = _named(results, first), _named(results, second)
    is_one_pair = len(ones) == len(others) == 1 and (first, second) == (_id(ones[0]), _id(others[0]))
    pairs = tuple((_id(one), _id(other)) for one in ones for other in others if is_one_pair or _are_alike(one, other))
    if any(one == other for one, other in pairs):
        raise UserError(f"{first!r} and {second!r} are the same variant; name two different ones")
    if not pairs:
        raise UserError(
            f"no variant of {first!r} shares training task, size and seed with one of {second!r} and differs from it "
            "in its recipe alone or its training settings alone; name two variants by their ids, which can always be "
            f"compared: {', '.join(map(_id, (*ones, *others)))}"
        )
    return pairs


def _named(results: StudyResults, name: str) -> list[VariantCard | None]:
    """Return the variants of a name; None is the base."""
    if name == BASE:
        return [None]
    found: list[VariantCard | None] = [card for card in results.variants if card.id == name]
    found = found or [card for card in results.variants if card.name == name]
    if not found:
        known = {BASE, *(card.id for card in results.variants), *(card.name for card in results.variants)}
        raise unknown_name("finished variant or recipe", name, known)
    return found


def _id(card: VariantCard | None) -> str:
    return card.id if card else BASE


def _are_alike(one: VariantCard | None, other: VariantCard | None) -> bool:
    if one is None or other is None:
        return True
    return differ_in_one_thing(one, other)


def _difference(
    results: StudyResults, scores: Scores, first: ScoreKey, second: ScoreKey, level: float
) -> CellDifference:
    pair = scores[second], scores[first]
    found = infer([[pair]], results.metrics[first.metric], level=level, margin=results.margin)
    judged = first.variant if second.variant == BASE else second.variant
    return CellDifference(
        first=first.variant,
        second=second.variant,
        cell=first.cell,
        relation=results.relations[judged, first.cell.tested_on],
        metric=first.metric,
        first_value=scores[first].value,
        second_value=scores[second].value,
        difference=difference(scores[second].value, scores[first].value),
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        item_count=len(scores[first].example_ids),
        note=found.note,
    )


def _mean(
    relation: Relation, kind: str, rows: Sequence[CellDifference], scores: Scores, level: float
) -> RelationDifference:
    keys = [(ScoreKey(row.first, row.cell, row.metric), ScoreKey(row.second, row.cell, row.metric)) for row in rows]
    found = estimate([minus([second], [first]) for first, second in keys], scores, level=level)
    return RelationDifference(
        relation, kind, len(rows), found.mean, found.low, found.high, found.p_value, found.seed_count, found.note
    )
