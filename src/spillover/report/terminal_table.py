"""Tables for the terminal whose texts come from data: folded to fit the width, never cut, never a control sequence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from spillover.report.text import printable

UNBROKEN = 21
"""Columns of the terminal up to which a cell stays on one line, where the whole table has room."""
NARROWEST = 10
"""Columns of the terminal that a wider cell is folded to before the others are folded too."""
GAP = 2
"""Columns of the terminal between two of the table."""


def text(words: str, style: str = "") -> Text:
    """Return words that hide no markup and no control sequence."""
    return Text(printable(words), style=style)


def table(header: Sequence[str], rows: Iterable[Sequence[str | Text]], *, width: int, title: str = "") -> Table:
    """Return a table for a terminal of ``width`` columns; without a header it is one of names and values.

    Long texts are folded first. Where that is not enough everything is: half a number would be another number.
    """
    shown = [[cell if isinstance(cell, Text) else text(cell) for cell in cells] for cells in rows]
    count = max([len(header), *map(len, shown)])
    names = [text(name) for name in header] or [Text()] * count
    columns = zip_longest(names, *shown, fillvalue=Text())
    widest = [max(cell.cell_len for cell in column) for column in columns]
    needed = sum(size if size <= UNBROKEN else NARROWEST for size in widest) + GAP * count
    made = Table(
        box=SIMPLE_HEAD,
        show_header=bool(header),
        title=text(title) if title else None,
        title_justify="left",
        pad_edge=False,
        padding=(0, GAP - 1, 0, 0),
    )
    for size, name in zip(widest, names, strict=True):
        made.add_column(name, overflow="fold", no_wrap=size <= UNBROKEN and needed <= width)
    for cells in shown:
        made.add_row(*cells)
    return made
