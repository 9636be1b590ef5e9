"""Sections of the report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import singledispatch
from itertools import groupby, takewhile

from spillover.report.section import Chart, Details, Entry, Lights, Part, Row, Scale, Section, Table, Text, Words
from spillover.report.text import LIGHT_SYMBOLS, LONGEST_SENTENCE, markdown, printable, visible

_MARKS = {"strong": "**", "em": "*", "name": ""}
_BARS = {"number": "---:", "center": ":---:"}


def markdown_section(section: Section) -> str:
    """Return a section with its heading."""
    tag = f" ({section.tag})" if section.tag else ""
    return f"## {markdown(section.title)}{tag}\n\n{markdown_parts(section.parts)}"


def markdown_parts(parts: Iterable[Part]) -> str:
    """Return parts one after the other; points that follow each other are one list."""
    made = []
    for is_point, own in groupby(_shown(list(parts)), key=lambda item: _is_a(item[0], "point")):
        made.append(("\n" if is_point else "\n\n").join(found for _, found in own))
    return "\n\n".join(made) + "\n"


def _shown(parts: list[Part]) -> Iterator[tuple[Part, str]]:
    """Yield what Markdown shows of parts; a heading over charts alone is left out with them."""
    written = [(part, _markdown(part)) for part in parts]
    for place, (part, found) in enumerate(written):
        below = list(takewhile(lambda item: not _is_a(item[0], "heading"), written[place + 1 :]))
        if found and not (_is_a(part, "heading") and below and not any(shown for _, shown in below)):
            yield part, found


def _is_a(part: Part, kind: str) -> bool:
    return isinstance(part, Text) and part.kind == kind


@singledispatch
def _markdown(part: Part) -> str:
    raise TypeError(f"{part!r} is no part of a section")


@_markdown.register
def _(part: Text) -> str:
    if part.kind == "block":
        return "    " + "".join(printable(str(piece), LONGEST_SENTENCE) for piece in part.pieces)
    before = {"point": "- ", "heading": "### "}.get(part.kind, "")
    return before + "".join(map(_piece, part.pieces))


def _piece(piece: str | Words) -> str:
    if isinstance(piece, str):
        return markdown(piece, LONGEST_SENTENCE)
    if piece.style == "code":
        return _code(visible(piece.text, LONGEST_SENTENCE).striptags())
    mark = _MARKS[piece.style]
    return f"{mark}{markdown(piece.text, LONGEST_SENTENCE)}{mark}"


def _code(text: str) -> str:
    """Set text between more backticks than it has in a row; no other character ends it."""
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


@_markdown.register
def _(part: Table) -> str:
    titles = [markdown(column.title) for column in part.columns]
    lines = [_line(titles), _line([_BARS.get(column.kind, "---") for column in part.columns])]
    above: Row = ()
    for group in part.groups:
        if group.heading:
            lines.append(_line([f"**{markdown(group.heading)}**", *[""] * (len(titles) - 1)]))
        for row in group.rows:
            # What spans several rows is repeated: Markdown has no cell that does.
            filled = [above[place] if entry is None else entry for place, entry in enumerate(row)]
            lines.append(_line(_cells(filled)))
            above = filled
    caption = f"{markdown(part.caption, LONGEST_SENTENCE)}\n\n" if part.caption else ""
    return caption + "\n".join(lines)


def _cells(row: Row) -> list[str]:
    shown = []
    for found in row:
        entry = found if isinstance(found, Entry) else Entry(found or "")
        text = markdown(entry.text, LONGEST_SENTENCE) + ("★" if entry.star else "")
        text = f"**{text}**" if entry.is_strong else text
        shown.append(" ".join([text, *(markdown(line) for line in entry.small)]))
        shown += [""] * (entry.columns - 1)
    return shown


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


@_markdown.register(Chart)
@_markdown.register(Scale)
def _(_: Part) -> str:
    return ""


@_markdown.register
def _(part: Lights) -> str:
    lines = []
    for item in part.verdicts:
        lines.append(f"- {LIGHT_SYMBOLS[item.light]} **{item.light}**: {markdown(item.sentence, LONGEST_SENTENCE)}")
        lines += [f"    - {markdown(line, LONGEST_SENTENCE)}" for line in item.evidence]
    return "\n".join(lines)


@_markdown.register
def _(part: Details) -> str:
    return f"**{markdown(part.summary)}**\n\n{markdown_parts(part.parts).rstrip()}"
