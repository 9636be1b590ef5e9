"""The report's section on relations: each variant's mean differences to the base, over seeds too, and their limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from spillover.analysis.analysis import Analysis
from spillover.analysis.relations import RelationSummary
from spillover.analysis.wording import interval_words, named, plain, signed
from spillover.records import BASE, Measurement, Relation, StudyResults
from spillover.report.figures import relation_panels, undrawn_words
from spillover.report.section import (
    Chart,
    Details,
    Entry,
    Part,
    Place,
    Row,
    Section,
    interval,
    note,
    number,
    strong,
    table,
    text,
    word,
)
from spillover.statistics.power import limits
from spillover.statistics.seeds import RecipeSummary

KIND_TERMS = {"right answers": "their share", "ROUGE-L": "words shared with the reference, 0 to 1"}
"""What kinds of metric measure whose name does not say it, in one line."""

RELATION_TERMS: Mapping[str, str] = {
    Relation.IN_DOMAIN: "its own task",
    Relation.OUT_OF_DOMAIN: "the same kind on other data",
    Relation.CROSS_TASK: "other kinds",
    Relation.UNSTATED: "nobody says what it was trained on",
}
"""What each relation means, in one line."""


def relations_section(results: StudyResults, analysis: Analysis) -> Section:
    """Return the chart and the table of relations, what holds over seeds, and what the study is too small to show."""
    parts = tuple(_parts(results, analysis))
    return Section("relations", "What fine-tuning did, by relation", parts, Place.RELATIONS, is_open=True)


def _parts(results: StudyResults, analysis: Analysis) -> Iterator[Part]:
    if not analysis.relations:
        return
    present = {word for item in analysis.relations for word in (item.relation, item.kind)}
    terms = [
        piece
        for word, meaning in {**RELATION_TERMS, **KIND_TERMS}.items()
        if word in present
        for piece in (" ", strong(str(word)), f": {meaning}.")
    ]
    level = f"{analysis.level:.0%}"
    yield note(*terms[1:])
    yield Chart(
        "Mean difference to the base with its interval, per relation and variant; the table below holds the numbers",
        lambda: relation_panels(analysis),
        caption=f"Mean difference to the base, with its {level} interval. ▶ gained, ◀ lost, ■ nothing lost (a loss of "
        f"{results.margin} or more is refuted), ● no clear change, ◆ cannot lose here."
        f"{undrawn_words(len({item.variant for item in analysis.relations}), 'lowest of each panel')}",
        is_wide=True,
    )
    yield Details("The numbers of the chart", tuple(_numbers(results, analysis)))


def _numbers(results: StudyResults, analysis: Analysis) -> Iterator[Part]:
    level = f"{analysis.level:.0%}"
    yield text(
        "Means over cells (tested task × shots) of each task's primary metric, every cell weighing the same. Scores "
        "of different kinds, such as accuracy and ROUGE-L, have no common mean and stand in rows of their own. Gained "
        "and lost are after Holm's adjustment over the study; intervals are not adjusted."
    )
    clear: dict[str, list[Measurement]] = {item.variant: [] for item in analysis.relations}
    for row in analysis.measurements:
        if row.variant in clear and row.is_primary and row.is_clear:
            clear[row.variant].append(row)
    columns = (
        *("variant", word("relation"), "metric", number("base"), number("variant"), number("difference"), interval()),
        *("reading", number("cells"), number("clearly up"), number("clearly down"), number("items")),
    )
    yield table(
        f"Mean differences to the base by relation, with {level} intervals",
        columns,
        [_row(clear[item.variant], item) for item in analysis.relations],
        fact_count=3,
        is_printed=True,
    )
    if analysis.recipes:
        seed_columns = (
            *("recipe", "trained on", number("rows"), word("relation"), "metric", number("training seeds")),
            *(number("demonstration seeds"), number("difference"), interval(), number("deviation of seeds")),
        )
        yield table(
            f"Mean differences to the base over seeds, with {level} intervals",
            seed_columns,
            [_seeds_row(item) for item in analysis.recipes],
            caption="Over seeds: the same recipe trained with several seeds, or asked with several sets of "
            "demonstrations. The interval holds for other seeds and items (Student's t for training seeds and for "
            "demonstration seeds, added in quadrature to what items are off by).",
            fact_count=3,
            is_printed=True,
        )
    if words := limit_words(results):
        yield note(words)
    yield note(
        "A mean can hide cells that move in opposite directions: “clearly up” and “clearly down” count the cells "
        "whose own difference is significant after Holm's adjustment over the whole matrix."
    )


def _row(clear: Sequence[Measurement], item: RelationSummary) -> Row:
    """Return a summary's row; ``clear`` are the variant's cells with a star."""
    better = [(row.difference > 0) == item.higher_is_better for row in clear if row.tested_on in item.tasks]
    return (
        *(item.variant, item.relation.value, item.kind, plain(item.base_mean), plain(item.variant_mean)),
        Entry(signed(item.mean_difference), is_strong=True),
        interval_words(item.low, item.high),
        Entry(item.reading, tint=item.change or ""),
        *(str(item.cell_count), str(sum(better)), str(len(better) - sum(better)), str(item.item_count)),
    )


def _seeds_row(item: RecipeSummary) -> Row:
    needed = f"about {item.seeds_needed} seeds would tell it from zero" if item.seeds_needed else ""
    return (
        *(item.name, item.trained_on, str(item.size), item.relation.value, item.kind, str(len(item.seeds))),
        str(item.demonstration_seed_count),
        Entry(signed(item.mean_difference), is_strong=True),
        Entry(interval_words(item.low, item.high), small=tuple(line for line in (item.note, needed) if line)),
        "–" if item.seed_deviation is None else plain(item.seed_deviation),
    )


def limit_words(results: StudyResults) -> str:
    """Say which tested tasks have too few independent items to ever show that less than the margin was lost."""
    units: dict[str, int] = {}
    for scores in results.scores:
        if scores.variant == BASE and results.metrics[scores.metric].unit == "share":
            names = zip(scores.groups or ("",) * len(scores.example_ids), scores.example_ids, strict=True)
            units[scores.cell.tested_on] = len({group or f"item {name}" for group, name in names})
    short = [task for task in limits(units, results.margin) if not task.can_show]
    if not short:
        return ""
    tasks = named([f"{task.name} ({task.unit_count})" for task in short], most=6)
    return (
        f"With so few independent items it cannot be shown that less than {results.margin:g} was lost, unless more is "
        f"gained than lost: {tasks}; it takes {short[0].fewest} at least, where nothing changes at all."
    )
