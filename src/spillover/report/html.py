"""Sections of the report as HTML: all text from data is escaped, and shown in its own direction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import singledispatch
from itertools import count, groupby, pairwise

from markupsafe import Markup, escape

from spillover.analysis.verdict import Verdict
from spillover.report.section import (
    Chart,
    Column,
    Details,
    Entry,
    Group,
    Lights,
    Panel,
    Part,
    Row,
    Scale,
    Section,
    Series,
    Table,
    Text,
    Words,
)
from spillover.report.text import LIGHT_SYMBOLS, LONGEST_SENTENCE, printable, visible

_CLASSES = {"number": "n", "interval": "interval", "words": "words", "word": "word", "center": "c", "text": ""}
_TAGS = {"strong": "strong", "em": "em", "code": "code"}
MANY = 24
"""Rows of a table, or verdicts, from which on they scroll by themselves and can be searched."""

MOST_ENTRIES = 4_000
"""Entries of a table on the page; some hundred bytes each, they keep a page of hundreds of variants below 5 MB."""

_SOLID = ' pathLength="1"'
_SHAPES = {
    "circle": '<circle cx="17" cy="6" r="3.6" fill="{0}"/>',
    "square": '<rect x="13.6" y="2.6" width="6.8" height="6.8" fill="{0}"/>',
    "diamond": '<path d="M17 1.2 21 6 17 10.8 13 6Z" fill="{0}"/>',
    "triangle-up": '<path d="M17 1.6 21.4 9.6H12.6Z" fill="{0}"/>',
}


def html_section(section: Section, below: str = "") -> Markup:
    """Return a section with its heading; ``below`` is HTML that ends it.

    What is folded is opened by its link and by the browser's own search, because the anchor lies within the details.
    """
    tag = f' <span class="tag">{escape(section.tag)}</span>' if section.tag else ""
    heading = f"<h2>{_safe(section.title)}{tag}</h2>"
    label = escape(printable(section.title))
    inner = f"{html_parts(section.parts)}{below}</section>"
    opening = f'<section id="{escape(section.id)}" aria-label="{label}">'
    if section.is_open:
        return Markup(f"{opening}\n{heading}\n{inner}\n")
    summary = f"<summary>{heading} <span>{_safe(section.summary)}</span></summary>"
    return Markup(f'<details class="fold">{summary}\n{opening}\n{inner}</details>\n')


def html_parts(parts: Iterable[Part]) -> Markup:
    """Return parts one after the other; points that follow each other are one list."""
    made = []
    for is_point, own in groupby(parts, key=lambda part: isinstance(part, Text) and part.kind == "point"):
        found = "\n".join(_html(part) for part in own)
        made.append(f"<ul>\n{found}\n</ul>\n" if is_point else f"{found}\n")
    return Markup("".join(made))


@singledispatch
def _html(part: Part) -> str:
    raise TypeError(f"{part!r} is no part of a section")


@_html.register
def _(part: Text) -> str:
    inner = html_words(part)
    return {
        "plain": f"<p>{inner}</p>",
        "note": f'<p class="note">{inner}</p>',
        "point": f"<li>{inner}</li>",
        "heading": f"<h3>{inner}</h3>",
        "block": f'<pre tabindex="0"><bdi>{inner}</bdi></pre>',
    }[part.kind]


def html_words(part: Text) -> Markup:
    """Return a text without what it is set in."""
    return Markup("".join(map(_piece, part.pieces)))


def _piece(piece: str | Words) -> str:
    if isinstance(piece, str):
        return _safe(piece, LONGEST_SENTENCE)
    if piece.style == "name":
        return _name(piece.text)
    tag, show = _TAGS[piece.style], visible if piece.style == "code" else _safe
    return f"<{tag}>{show(piece.text, LONGEST_SENTENCE)}</{tag}>"


@_html.register
def _(part: Table) -> str:
    most, rows = max(MANY, MOST_ENTRIES // len(part.columns)), part.rows
    if len(rows) <= most or any(None in row for row in rows):
        return _table(part)
    cut = (
        f"{most:,} of {len(rows):,} rows, first those with a star, a gain or a loss; the report in Markdown has "
        "all, and measurements.csv every cell."
    )
    return f'{_table(_most_telling(part, most))}\n<p class="note">{cut}</p>'


def _most_telling(part: Table, most: int) -> Table:
    """Return the table with its first row, those that tell of a change and of the others as many as there is room."""
    rows = part.rows
    ranked = sorted(range(len(rows)), key=lambda place: place > 0 and not _tells(rows[place]))
    chosen, places = set(ranked[:most]), count()
    groups = (Group(tuple(row for row in group.rows if next(places) in chosen), group.heading) for group in part.groups)
    return replace(part, groups=tuple(group for group in groups if group.rows))


def _tells(row: Row) -> bool:
    return any(isinstance(entry, Entry) and (entry.star or entry.tint in ("gained", "lost")) for entry in row)


def _table(part: Table) -> str:
    style = f' class="{part.style}"' if part.style else ""
    caption = f"<caption>{_safe(part.caption)}</caption>\n" if part.caption else ""
    head = "".join(
        f'<th scope="col"{_class(_CLASSES[column.kind])}>'
        f"{_name(column.title) if column.is_name else _safe(column.title)}</th>"
        for column in part.columns
    )
    body = "\n".join(_group(part, group) for group in part.groups)
    made = f"<table{style}>\n{caption}<thead><tr>{head}</tr></thead>\n{body}\n</table>"
    return _searched(part.label, made) if len(part.rows) > MANY else _scroll(part.label, made)


def _searched(label: str, inner: str) -> str:
    """Return what has many rows in a region of a screen's height, below a field by which the page's script finds some.

    The script shows the field; without it there is the browser's own search.
    """
    field = (
        '<label class="find" hidden>find <input type="search" autocomplete="off" spellcheck="false">'
        '<output aria-live="polite"></output></label>'
    )
    return f'<div class="searched">{field}\n{_scroll(label, inner, "scroll tall")}</div>'


def _group(part: Table, group: Group) -> str:
    lines = []
    if group.heading:
        lines.append(
            f'<tr class="group"><th scope="rowgroup" colspan="{len(part.columns)}">{_safe(group.heading)}</th></tr>'
        )
    firsts = [row[0].text if isinstance(row[0], Entry) else row[0] for row in group.rows]
    pairs = list(pairwise(firsts))
    is_together = any(one == other for one, other in pairs)  # else a line above every row would part nothing
    for row, (before, own) in zip(group.rows, [(None, None), *pairs], strict=True):
        is_new = is_together and None not in (before, own) and before != own
        lines.append(f"<tr{_class('first' if is_new else '')}>{''.join(_cells(part.columns, row))}</tr>")
    return "<tbody>\n" + "\n".join(lines) + "\n</tbody>"


def _cells(columns: tuple[Column, ...], row: Row) -> Iterator[str]:
    place = 0
    for found in row:
        column = columns[place]
        if found is not None:
            entry = found if isinstance(found, Entry) else Entry(found)
            yield _cell(entry, column, is_header=place == 0)
            place += entry.columns
        else:
            place += 1


def _cell(entry: Entry, column: Column, *, is_header: bool) -> str:
    kind = column.kind if entry.columns == 1 else "text"  # what spans several columns is words
    scope = ("rowgroup" if entry.rows > 1 else "row") if is_header else ""
    attributes = "".join(
        f' {key}="{value}"'
        for key, value in {
            "scope": scope,
            "class": f"{_CLASSES[kind]} {entry.tint.replace(' ', '-')}".strip(),
            "rowspan": entry.rows if entry.rows > 1 else "",
            "colspan": entry.columns if entry.columns > 1 else "",
            "title": escape(printable(entry.title)),
            **{f"data-{key}": escape(value) for key, value in entry.data.items()},
        }.items()
        if value != ""
    )
    shown = _safe(entry.text) if kind in ("number", "interval", "center") else _bdi(entry.text)
    if is_header and kind == "text":
        shown = _name(entry.text)
    if entry.star:
        shown += f'<span class="star" aria-label=", {escape(entry.star)}">★</span>'
    if entry.is_strong:
        shown = f"<strong>{shown}</strong>"
    shown += "".join(f" <small>{_bdi(line)}</small>" for line in entry.small)
    if entry.more:
        shown += f"<details><summary>{_safe(entry.more_title)}</summary>{_bdi(entry.more, LONGEST_SENTENCE)}</details>"
    tag = "th" if is_header else "td"
    return f"<{tag}{attributes}>{shown}</{tag}>"


@_html.register
def _(part: Chart) -> str:
    panels = part.draw()
    caption = f"<figcaption>{_safe(part.caption, LONGEST_SENTENCE)}</figcaption>\n" if part.caption else ""
    if len(panels) == 1 and not panels[0].title:
        return f"<figure>\n{_legend(part.legend)}{_drawing(part.label, panels[0])}\n{caption}</figure>"
    drawn = "\n".join(
        f"<figure><figcaption><strong>{_name(panel.title)}</strong> {_bdi(panel.note)}</figcaption>"
        f"{_drawing(f'{part.label}: {panel.title}', panel, scrolls=part.is_wide)}</figure>"
        for panel in panels
    )
    wide = " wide" if part.is_wide else ""
    below = f'<p class="note">{_safe(part.caption, LONGEST_SENTENCE)}</p>' if part.caption else ""
    return f'{_legend(part.legend)}<div class="panels{wide}">\n{drawn}\n</div>\n{below}'


def _drawing(label: str, panel: Panel, *, scrolls: bool = True) -> str:
    drawn = f'<div class="chart" role="img" aria-label="{escape(printable(label))}">{panel.svg}</div>'
    return _scroll(label, drawn) if scrolls else drawn


@_html.register
def _(part: Details) -> str:
    return f"<details><summary>{_bdi(part.summary)}</summary>\n{html_parts(part.parts)}</details>"


@_html.register
def _(part: Lights) -> str:
    total = len(part.verdicts)
    if total <= MANY:
        return _cards(part.verdicts)
    lights = [light for light in LIGHT_SYMBOLS if any(item.light == light for item in part.verdicts)]
    groups = {light: [item for item in part.verdicts if item.light == light] for light in lights}
    shown = "\n".join(
        f'<h3 class="{light}"><span class="light">{LIGHT_SYMBOLS[light]} {light}</span>: {len(own):,} of {total:,}</h3>'
        f"\n{_cards(own)}"
        for light, own in groups.items()
    )
    return _searched("Verdicts by light", shown)


def _cards(verdicts: Iterable[Verdict]) -> str:
    return f'<ul class="verdicts">\n{"".join(map(_card, verdicts))}</ul>'


def _card(item: Verdict) -> str:
    more = _numbers(item.numbers) + _numbers(map(_sentence, item.evidence))
    return (
        f'<li class="{item.light}">\n<span class="light"><span aria-hidden="true">{LIGHT_SYMBOLS[item.light]}</span> '
        f"{item.light}</span>\n<div><h3>{_name(item.variant)}</h3><p>{_bdi(item.reading, LONGEST_SENTENCE)}.</p>"
        f"{_numbers(map(_sentence, item.ends))}<details><summary>numbers</summary>{more}</details></div>\n</li>\n"
    )


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _numbers(lines: Iterable[str]) -> str:
    shown = " ".join(map(_bdi, lines))
    return f'<p class="numbers">{shown}</p>' if shown else ""


@_html.register
def _(part: Scale) -> str:
    levels = list(enumerate(part.steps, 1))
    worse = "".join(f'<span class="down{level}">−{step}</span>' for level, step in reversed(levels))
    better = "".join(f'<span class="up{level}">+{step}</span>' for level, step in levels)
    return (
        f'<p class="scale" aria-label="Colour scale"><span>worse</span>\n{worse}<span class="flat">0</span>{better}\n'
        "<span>better</span></p>"
    )


def _legend(series: Iterable[Series]) -> str:
    items = "\n".join(
        '<li><svg width="34" height="12" viewBox="0 0 34 12" aria-hidden="true"><line x1="1" y1="6" x2="33" y2="6" '
        f'stroke="{item.color}" stroke-width="2" stroke-dasharray="{item.dash[0]} {item.dash[1]}"'
        f"{_SOLID if item.dash[1] == 0 else ''}/>{_SHAPES[item.shape].format(item.color)}</svg> "
        f"{_name(item.model)}</li>"
        for item in series
    )
    return f'<ul class="legend">\n{items}\n</ul>\n' if items else ""


def _scroll(label: str, inner: str, style: str = "scroll") -> str:
    return f'<div class="{style}" role="region" tabindex="0" aria-label="{escape(printable(label))}">\n{inner}\n</div>'


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _safe(text: str, limit: int = LONGEST_SENTENCE) -> str:
    return str(escape(printable(text, limit)))


def _bdi(text: str, limit: int = LONGEST_SENTENCE) -> str:
    return f"<bdi>{_safe(text, limit)}</bdi>"


def _name(text: str) -> str:
    return f'<bdi class="name">{escape(printable(text))}</bdi>'
