"""The report's matrix: every variant's difference to the base in every cell, one table per task trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from spillover.analysis.analysis import Analysis
from spillover.analysis.wording import interval_words, plain, signed
from spillover.records import BASE, Cell, FlipFloor, Measurement, MetricCard, Relation, StudyResults, TaskCard
from spillover.report.section import (
    Column,
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


def matrix_section(results: StudyResults, analysis: Analysis) -> Section:
    """Return the matrices with what their tints and stars mean."""
    parts: list[Part] = [
        text(
            "The base's score, the accuracy of always giving the most frequent answer, and each variant's difference "
            "to the base with its interval. ★ marks a difference that is significant at 5 % after Holm's adjustment "
            "over all cells and variants; hover a cell for both scores and, where it was measured, the flip floor, or "
            "walk the cells with the arrow keys; Enter (or a double click) shows its items. Where each row has "
            "options of its own, the accuracy of guessing at random takes the place of the most frequent answer."
        ),
        Scale(TINTS),
    ]
    for trained_on, matrix in matrices(results, analysis).items():
        parts += [heading("Trained on ", name(trained_on)), matrix]
    honest = note(
        "No interval is given where it would not be honest: with fewer than ten independent items, or where fewer "
        "than ten of them differ and the metric is no share; hovering says which."
    )
    return Section("matrix", "Every cell", (*parts, honest), Place.MATRIX)


def matrices(results: StudyResults, analysis: Analysis) -> dict[str, Table]:
    """Return task trained on to the differences of the primary metrics, rows grouped by relation."""
    primary = {task.name: task.primary_metric for task in results.tasks}
    found = {(row.variant, cell_of(row)): row for row in analysis.measurements if row.metric == primary[row.tested_on]}
    made = {}
    for trained_on in dict.fromkeys(card.trained_on for card in results.variants):
        variants = [card.id for card in results.variants if card.trained_on == trained_on]
        facts = (Column("tested on"), number("shots"), number("majority"), number(BASE))
        made[trained_on] = Table(
            f"Differences to the base of variants trained on {trained_on}, with {analysis.level:.0%} intervals",
            (*facts, *(Column(variant, "center", is_name=True) for variant in variants)),
            tuple(_groups(results, found, variants)),
            style="matrix",
            fact_count=len(facts),
            is_printed=True,
        )
    return made


def _groups(
    results: StudyResults, found: Mapping[tuple[str, Cell], Measurement], variants: Sequence[str]
) -> Iterator[Group]:
    tasks = {task.name: (index, task) for index, task in enumerate(results.tasks)}
    models = {card.id: str(index) for index, card in enumerate(results.variants)}
    conditions = condition_words(results)
    related = {
        cell: results.relations[variant, cell.tested_on]
        for _, cell in found
        for variant in reversed(variants)
        if (variant, cell) in found  # a classifier is not asked what has none of its labels
    }
    cells = [cell for model, cell in found if model == BASE and cell in related]
    for relation in Relation:
        rows: list[Row] = []
        for cell in (cell for cell in cells if related[cell] == relation):
            place, task = tasks[cell.tested_on]
            base = found[BASE, cell]
            metric = results.metrics[base.metric]
            data = {"task": str(place), "shots": str(cell.shots)}
            rows.append(
                (
                    Entry(cell.tested_on, small=(f"{metric.name}, {base.item_count} items",)),
                    conditions[cell],
                    guessing_words(task) or "–",
                    Entry(plain(base.value), is_strong=True),
                    *(
                        _entry(
                            found[variant, cell],
                            metric,
                            results.flip_floors.get((variant, cell)),
                            {"model": models[variant], **data},
                        )
                        if (variant, cell) in found
                        else "–"
                        for variant in variants
                    ),
                )
            )
        if rows:
            yield Group(tuple(rows), relation.value)


def guessing_words(task: TaskCard) -> str:
    """Write what guessing scores: always the most frequent answer, or at random where each row has its own options.

    Of free text it is what one text for all items scores in the primary metric.
    """
    if task.majority_accuracy is not None:
        return plain(task.majority_accuracy)
    if task.primary_metric in task.constant_scores:
        return f"{plain(task.constant_scores[task.primary_metric])} (one text)"
    return "" if task.chance_accuracy is None else f"{plain(task.chance_accuracy)} (chance)"


def _entry(row: Measurement, metric: MetricCard, floor: FlipFloor | None, data: Mapping[str, str]) -> Entry:
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
    size = abs(row.difference) / (100 if metric.unit == "points" else 1)
    return Entry(
        signed(row.difference),
        small=(interval,),
        is_strong=True,
        star=STAR if row.is_clear else "",
        tint=tint(size, is_better=(row.difference > 0) == metric.higher_is_better),
        title=f"{plain(row.value)}{own} against {plain(row.base_value)} of the base on {row.item_count} items: "
        f"{signed(row.difference)} {interval}{remark}",
        data=data,
    )
