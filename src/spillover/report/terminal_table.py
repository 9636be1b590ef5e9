"""Tables for the terminal whose texts come from data: folded to fit the width, never cut, never a control sequence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from spillover.report.text import printable

UNBROKEN = 20
"""Columns of the terminal up to which a cell stays on one line; only wider columns give way."""


def text(words: str, style: str = "") -> Text:
    """Return words that hide no markup and no control sequence."""
    return Text(printable(words), style=style)


def table(header: Sequence[str], rows: Iterable[Sequence[str | Text]], *, title: str = "") -> Table:
    """Return a table; without a header it is one of names and values."""
    shown = [[cell if isinstance(cell, Text) else text(cell) for cell in cells] for cells in rows]
    made = Table(box=SIMPLE_HEAD, show_header=bool(header), title=text(title) if title else None, title_justify="left")
    count = max((len(cells) for cells in shown), default=0)
    for index in range(max(count, len(header))):
        widest = max((cells[index].cell_len for cells in shown if index < len(cells)), default=0)
        name = text(header[index]) if header else ""
        made.add_column(name, overflow="fold", no_wrap=widest <= UNBROKEN)
    for cells in shown:
        made.add_row(*cells)
    return made
