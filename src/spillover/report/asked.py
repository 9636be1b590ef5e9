"""The report's section on how cells were asked: what every other way of asking did, folded away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from spillover.analysis.analysis import Analysis
from spillover.analysis.asked import AskedDifference
from spillover.analysis.wording import difference_words, interval_words, plain
from spillover.records import PLAIN, AskedBy, Cell, StudyResults
from spillover.report.section import (
    Column,
    Details,
    Entry,
    Part,
    Place,
    Row,
    Section,
    Table,
    interval,
    name,
    number,
    point,
    table,
    text,
)
from spillover.report.tables import condition_words

_TITLES = {
    "asking": "Each model's ask less its own plain ask",
    "training": "Each variant less the base, asked the same",
    "named": "What the study compares by name",
}


def asked_section(results: StudyResults, analysis: Analysis) -> Section:
    """Return what asking otherwise did; nothing where every cell was asked in one way."""
    parts = (*_lead(results), Details("How it was asked", tuple(_tables(results, analysis)))) if analysis.asked else ()
    return Section("asked", "How it was asked", parts, Place.CELLS)


def _lead(results: StudyResults) -> Iterator[Part]:
    primary = "" if results.ask == PLAIN else f" There, cells are asked as {results.ask!r}."
    yield text(
        "Matrix, verdicts and everything else rest on one way of asking alone."
        f"{primary} Here stands what other ways did, on the same items: differences are paired, and p-values are "
        "adjusted after Holm over these tables together and nothing else."
    )
    for ask, words in results.asks.items():
        yield point(name(ask), f": {words}")


def _tables(results: StudyResults, analysis: Analysis) -> Iterator[Table]:
    cells = condition_words(results, [row.cell for row in analysis.asked])
    for kind, title in _TITLES.items():
        rows = [row for row in analysis.asked if row.kind == kind]
        if rows:
            yield _table(title, rows, cells, analysis.level, is_named=kind == "named")


def _table(
    title: str, found: list[AskedDifference], cells: Mapping[Cell, str], level: float, *, is_named: bool
) -> Table:
    first, second = ("this", "less this") if is_named else ("asked", "compared with")
    columns: tuple[Column | str, ...] = (
        *(first, second, "tested on", number("shots"), "metric", number("value"), number("other")),
        *(number("difference"), interval(f"{level:.0%} interval"), number("items")),
    )
    return table(title, columns, [_row(row, cells) for row in found], caption=f"{title}.", fact_count=4)


def _row(row: AskedDifference, cells: Mapping[Cell, str]) -> Row:
    return (
        *(_words(row.a), _words(row.b), row.cell.tested_on, cells[row.cell], row.metric),
        *(plain(row.a_value), plain(row.b_value)),
        Entry(
            difference_words(row.difference, row.low, row.high),
            is_strong=True,
            star="significant after Holm" if row.is_clear else "",
        ),
        Entry(interval_words(row.low, row.high), small=(row.note,) if row.note else ()),
        str(row.item_count),
    )


def _words(asked: AskedBy) -> str:
    return f"{asked.variant}, {asked.ask}"
