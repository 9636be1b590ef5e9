"""The part of the section on what models say of verdicts they were shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spillover.questions.receipts.cell_facts import FIRST, facts_of
from spillover.questions.receipts.keys import About
from spillover.questions.receipts.numbers import ReceiptNumbers
from spillover.questions.receipts.said import Interpretation
from spillover.report.section import Column, Entry, Part, Row, heading, note, number, table

DEGREES = tuple(f"{tenth / 10:.1f}" for tenth in range(11))
TITLES: Mapping[About, str] = {
    "influence": "How far the verdict influenced the answer",
    "features": "Which words decided",
    "example": "Which example mattered most",
    "override": "Why it overrode",
}
MOST_TEXTS = 5
"""Of what was said in a cell, the most frequent first."""


def said_parts(found: Sequence[ReceiptNumbers]) -> list[Part]:
    """Return a table for each thing that was asked of answers; nothing where nothing was."""
    parts: list[Part] = []
    for about, title in TITLES.items():
        cells = [(row, item) for row in found for item in row.items.said if item.about == about]
        if cells:
            first: tuple[Column | str, ...] = (*FIRST, number("asked"), number("not as asked"))
            columns, entries = _of(about, [item for _, item in cells])
            rows: list[Row] = [
                (*facts_of(row), str(item.item_count), _failures(item), *entry)
                for (row, item), entry in zip(cells, entries, strict=True)
            ]
            parts += [heading(title), table(title, (*first, *columns), rows, fact_count=4)]
    if parts:
        parts.append(
            note(
                "What a model says of its own answers is what it writes when asked, not what went on in it. A degree "
                "that is no number from 0 to 1 in tenths, words that do not stand in the input, an example that is not "
                "there: all are counted as not as asked and as nothing else."
            )
        )
    return parts


def _failures(item: Interpretation) -> Entry:
    return Entry(str(item.unparsed_count), title=f"such as: {item.unlike}" if item.unlike else "")


def _of(about: About, items: Sequence[Interpretation]) -> tuple[list[Column | str], list[list[str]]]:
    """Return the columns of what was said, and their entries cell by cell."""
    if about == "influence":
        return [number(degree) for degree in DEGREES], [_counts(item, DEGREES) for item in items]
    if about == "example":
        names = [str(place + 1) for place in range(max(int(key) for item in items for key in (*item.counts, "1")))]
        return [number(f"example {name}") for name in names], [_counts(item, names) for item in items]
    most = "explanations" if about == "override" else "words, how often"
    return [most], [[_most(item)] for item in items]


def _counts(item: Interpretation, keys: Sequence[str]) -> list[str]:
    return [str(item.counts.get(key, 0)) for key in keys]


def _most(item: Interpretation) -> str:
    ordered = sorted(item.counts, key=lambda text: -item.counts[text])[:MOST_TEXTS]
    return "; ".join(f"{text} ({item.counts[text]})" if item.counts[text] > 1 else text for text in ordered) or "–"
