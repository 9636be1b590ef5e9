"""The report in the terminal: its tables, folded and split by columns to fit the width, and its verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from spillover.analysis.analysis import Analysis
from spillover.analysis.readings import Change
from spillover.records import StudyResults
from spillover.report.section import Entry, Row, Table
from spillover.report.sections import printed_tables
from spillover.report.terminal_table import GAP, UNBROKEN, table, text
from spillover.report.text import printable, text_summary

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table as TerminalTable
    from rich.text import Text

FACTS_WIDTH = 40
"""Columns of the terminal that the leading columns of a table take at most; they are folded to it."""
STYLES = {"up": "green", "down": "red", Change.GAINED.value: "green", Change.LOST.value: "red"}
"""Colours repeat what sign, star and word say."""


def text_report(results: StudyResults, analysis: Analysis, *, width: int) -> Iterator[RenderableType]:
    """Yield what a terminal of ``width`` columns prints, the verdicts last, where they stay in sight."""
    for printed in sorted(printed_tables(results, analysis), key=lambda printed: printed.style != "matrix"):
        yield from terminal_tables(printed, width)
    for sentence in results.skipped:
        yield text(f"skipped: {sentence}")
    yield text_summary(results, analysis)


def terminal_tables(printed: Table, width: int) -> Iterator[TerminalTable]:
    """Yield a table, in several where its columns do not stand side by side; each begins with the leading ones."""
    stars = sorted({entry.star for row in printed.rows for entry in row if isinstance(entry, Entry) and entry.star})
    title = f"{printed.label}{''.join(f'; ★ {star}' for star in stars)}"
    for shown in _pieces(printed, width):
        rows: list[tuple[Text, ...]] = []
        for group in printed.groups:
            if group.heading:
                rows.append((text(group.heading, "bold"),))
            rows += [tuple(_cell(cells[place]) for place in shown) for cells in map(_flat, group.rows)]
        yield table([printed.columns[place].title for place in shown], rows, width=width, title=title)


def _pieces(printed: Table, width: int) -> Iterator[list[int]]:
    """Yield the columns of each piece by their places."""
    lines = [[column.title for column in printed.columns], *([*map(_words, _flat(row))] for row in printed.rows)]
    widths = [
        min(UNBROKEN, max(len(printable(words)) for words in column)) + GAP for column in zip(*lines, strict=True)
    ]
    facts = list(range(printed.fact_count))
    left = room = width - min(FACTS_WIDTH, sum(widths[: printed.fact_count]))
    piece: list[int] = []
    for place in range(printed.fact_count, len(printed.columns)):
        if piece and widths[place] > left:
            yield facts + piece
            piece, left = [], room
        piece.append(place)
        left -= widths[place]
    yield facts + piece


def _flat(row: Row) -> list[str | Entry | None]:
    """Return an entry a column; what spans several stands in the first of them."""
    return [cell for found in row for cell in (found, *[None] * (found.columns - 1 if isinstance(found, Entry) else 0))]


def _words(found: str | Entry | None) -> str:
    entry = found if isinstance(found, Entry) else Entry(found or "")
    return " ".join([f"{entry.text}{'★' if entry.star else ''}", *entry.small])


def _cell(found: str | Entry | None) -> Text:
    tint = found.tint if isinstance(found, Entry) else ""
    is_said = isinstance(found, Entry) and (found.star or tint in STYLES)
    return text(_words(found), STYLES.get(tint.rstrip("1234"), "") if is_said else "")
