"""The report's matrix: every variant's difference to the base in every cell, one table per task trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spillover.analysis.analysis import Analysis
from spillover.analysis.wording import enumerated, interval_words, plain, signed
from spillover.records import BASE, Cell, Measurement, Relation, StudyResults, TaskCard, VariantCard
from spillover.report.section import (
    Column,
    Details,
    Entry,
    Group,
    Part,
    Place,
    Row,
    Scale,
    Section,
    Table,
    heading,
    name,
    note,
    number,
    text,
)
from spillover.report.tables import TINTS, cell_of, condition_words, tint

STAR = "significant after Holm"

MOST_TOGETHER = 4
"""Variants that share one table, whatever they were trained on; it is as wide as the page then."""

MOST_COLUMNS = 12
"""Variants that stand side by side; of more each has a row of its own."""


def matrix_section(results: StudyResults, analysis: Analysis) -> Section:
    """Return the matrices with what their tints and stars mean."""
    parts: list[Part] = [
        note(
            "Variant minus base, with its interval. ★: significant at 5 % after Holm's adjustment over the matrix. "
            "Guessing: what the same answer for all items scores, or chance. Enter or double click: a cell's items."
        ),
        Scale(TINTS),
    ]
    made = matrices(results, analysis)
    for trained_on, matrix in made.items():
        parts += [*((heading("Trained on ", name(trained_on)),) if len(made) > 1 else ()), matrix]
    reading = text(
        "Hover a cell, or walk the cells with the arrow keys, for both scores and, where it was measured, the flip "
        "floor. Guessing is the accuracy of always giving the most frequent answer; where each row has options of its "
        "own, that of guessing at random; of free text, what one text for all items scores. No interval is given "
        "where it would not be honest: with fewer than ten independent items, or where fewer than ten of them differ "
        "and the metric is no share; hovering says which."
    )
    return Section("matrix", "Every cell", (*parts, Details("More on cells", (reading,))), Place.MATRIX, is_open=True)


def matrices(results: StudyResults, analysis: Analysis) -> dict[str, Table]:
    """Return what variants were trained on, to the differences of their primary metrics.

    Rows are cells and columns variants; of more than `MOST_COLUMNS` variants it is the other way round, and rows are
    grouped by recipe. Up to `MOST_TOGETHER` variants share one table, more have one a training task, whose rows are
    grouped by relation.
    """
    primary = {task.name: task.primary_metric for task in results.tasks}
    found = {(row.variant, cell_of(row)): row for row in analysis.measurements if row.metric == primary[row.tested_on]}
    made = {}
    for cards in _together(results.variants):
        trained_on = enumerated(dict.fromkeys(card.trained_on for card in cards))
        is_turned = len(cards) > MOST_COLUMNS
        columns, groups = (_by_variant if is_turned else _by_cell)(results, found, cards)
        made[trained_on] = Table(
            f"Differences to the base of variants trained on {trained_on}, with {analysis.level:.0%} intervals",
            columns,
            groups,
            style="matrix",
            fact_count=1 if is_turned else 3,
            is_printed=True,
        )
    return made


def _together(cards: Sequence[VariantCard]) -> list[Sequence[VariantCard]]:
    if len(cards) <= MOST_TOGETHER:
        return [cards] if cards else []
    tasks = dict.fromkeys(card.trained_on for card in cards)
    return [[card for card in cards if card.trained_on == task] for task in tasks]


_Found = Mapping[tuple[str, Cell], Measurement]
_Drawn = tuple[tuple[Column, ...], tuple[Group, ...]]


def _by_cell(results: StudyResults, found: _Found, cards: Sequence[VariantCard]) -> _Drawn:
    conditions = condition_words(results)
    by_relation = _cells(results, found, cards)
    groups: list[Group] = []
    for relation, cells in by_relation.items():
        rows: list[Row] = []
        for cell in cells:
            base = found[BASE, cell]
            task = Entry(cell.tested_on, small=(f"{results.metrics[base.metric].name}, {base.item_count} items",))
            entries = (_entry(results, found, card, cell, says_relation=relation is None) for card in cards)
            rows.append((task, conditions[cell], _base(results, base), *entries))
        groups.append(Group(tuple(rows), relation.value if relation else ""))
    facts = (Column("tested on"), number("shots"), number(BASE))
    return (*facts, *(Column(card.id, "center", is_name=True) for card in cards)), tuple(groups)


def _by_variant(results: StudyResults, found: _Found, cards: Sequence[VariantCard]) -> _Drawn:
    conditions = condition_words(results)
    cells = [(relation, cell) for relation, own in _cells(results, found, cards).items() for cell in own]
    titles = [f"{cell.tested_on}, {conditions[cell]} shots, {relation}" for relation, cell in cells]
    groups = [Group(((BASE, *(_base(results, found[BASE, cell]) for _, cell in cells)),))]
    for recipe in dict.fromkeys(card.name for card in cards):
        rows: list[Row] = [
            (card.id, *(_entry(results, found, card, cell) for _, cell in cells))
            for card in cards
            if card.name == recipe
        ]
        groups.append(Group(tuple(rows), recipe))
    return (Column("variant"), *(Column(title, "center", is_name=True) for title in titles)), tuple(groups)


def _cells(results: StudyResults, found: _Found, cards: Sequence[VariantCard]) -> dict[Relation | None, list[Cell]]:
    """Return the cells of any variant by their relation, all under None where variants differ in it."""
    of = {
        cell: results.relations[card.id, cell.tested_on]
        for _, cell in found
        for card in cards
        if (card.id, cell) in found  # a classifier is not asked what has none of its labels
    }
    cells = [cell for model, cell in found if model == BASE and cell in of]
    if len({card.trained_on for card in cards}) > 1:
        return {None: cells}
    return {relation: own for relation in Relation if (own := [cell for cell in cells if of[cell] == relation])}


def _base(results: StudyResults, base: Measurement) -> Entry:
    task = next(task for task in results.tasks if task.name == base.tested_on)
    guessing = guessing_words(task)
    title = f"{plain(base.value)} of the base on {base.item_count} items"
    return Entry(plain(base.value), small=(f"guessing {guessing}",) if guessing else (), is_strong=True, title=title)


def guessing_words(task: TaskCard) -> str:
    """Write what guessing scores: always the most frequent answer, or at random where each row has its own options.

    Of free text it is what one text for all items scores in the primary metric.
    """
    if task.majority_accuracy is not None:
        return plain(task.majority_accuracy)
    if task.primary_metric in task.constant_scores:
        return f"{plain(task.constant_scores[task.primary_metric])} (the same text for all)"
    return "" if task.chance_accuracy is None else f"{plain(task.chance_accuracy)} (chance)"


def _entry(
    results: StudyResults, found: _Found, card: VariantCard, cell: Cell, *, says_relation: bool = False
) -> Entry:
    if (card.id, cell) not in found:
        return Entry("–")
    row, floor = found[card.id, cell], results.flip_floors.get((card.id, cell))
    metric = results.metrics[row.metric]
    interval = interval_words(row.low, row.high)
    own = "" if row.value_low is None else f" {interval_words(row.value_low, row.value_high)}"
    remark = f"; {row.note}" if row.note else ""
    if row.holm_p_value is not None:
        remark += f"; p = {row.p_value:.2g}, after Holm {row.holm_p_value:.2g}"
    if row.is_equivalent:
        remark += "; shown to be no different within the margin"
    if floor:
        remark += (
            f"; flip floor {floor.flipped_count} of {floor.item_count} items, log-likelihoods at most "
            f"{floor.largest_difference:.1e} nats off"
        )
    models, tasks = [own.id for own in results.variants], [task.name for task in results.tasks]
    size = abs(row.difference) / (100 if metric.unit == "points" else 1)
    return Entry(
        signed(row.difference),
        small=(interval, *((results.relations[card.id, cell.tested_on].value,) if says_relation else ())),
        is_strong=True,
        star=STAR if row.is_clear else "",
        tint=tint(size, is_better=(row.difference > 0) == metric.higher_is_better),
        title=f"{plain(row.value)}{own} against {plain(row.base_value)} of the base on {row.item_count} items: "
        f"{signed(row.difference)} {interval}{remark}",
        data={"model": str(models.index(card.id)), "task": str(tasks.index(cell.tested_on)), "shots": str(cell.shots)},
    )
