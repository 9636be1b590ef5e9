"""The report's section of a few items that changed for the worse: reference, base and variant side by side."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from spillover.analysis.wording import plain
from spillover.records import CellChanges, ItemAnswer, ItemChange, StudyResults
from spillover.report.section import Column, Entry, Group, Place, Section, Table, note
from spillover.report.tables import condition_words

ITEM_COUNT = 5
LONGEST_ANSWER = 80
"""Characters of an answer in sight; the rest opens."""

Found = tuple[CellChanges, ItemChange]


def worse_section(results: StudyResults) -> Section:
    """Return the items; no part where none is at hand."""
    conditions = condition_words(results)
    groups = tuple(
        Group(
            ((_entry(change.item.target), _answer(change.base), _answer(change.variant)),),
            f"{row.cell.tested_on}, {conditions[row.cell]} shots · {row.variant}: "
            f"{plain(change.base.score)} → {plain(change.variant.score)}",
        )
        for row, change in _first(results)
    )
    lead = note(
        "The largest falls; first answers that the variant alone did not finish or that hold nothing to score: the "
        "length allowed or the parser may be at fault."
    )
    made = Table(
        "Items that changed for the worse",
        (Column("reference"), Column("base"), Column("variant")),
        groups,
        style="worse",
    )
    return Section(
        "worse",
        "What got worse, for example",
        (lead, made) if groups else (),
        Place.MATRIX,
        is_open=True,
        short="Worse",
    )


def _first(results: StudyResults) -> list[Found]:
    """Return faults first, then variants in turn, each with its cells in turn, those with most regressions first."""
    turns = [
        found
        for round_of in zip_longest(*(_of(results, card.id) for card in results.variants))
        for found in round_of
        if found
    ]
    # A reference is seen once: the same item, asked at several shots or of several variants, says little more.
    seen: dict[tuple[str, str], Found] = {}
    for row, change in sorted(turns, key=lambda found: not _is_new_fault(found[1])):
        seen.setdefault((row.cell.tested_on, change.item.example_id), (row, change))
    return list(seen.values())[:ITEM_COUNT]


def _is_new_fault(change: ItemChange) -> bool:
    return bool(change.variant.fault) and not change.base.fault


def _of(results: StudyResults, variant: str) -> Iterator[Found]:
    own = [row for row in results.changes if row.variant == variant and row.regressions]
    own.sort(key=lambda row: -row.regression_count)
    for turn in zip_longest(*(row.regressions for row in own)):
        yield from ((row, change) for row, change in zip(own, turn, strict=True) if change)


def _answer(answer: ItemAnswer) -> Entry:
    return _entry(answer.text, *((answer.fault,) if answer.fault else ()))


def _entry(answer: str, *small: str) -> Entry:
    if not answer.strip():
        return Entry("(nothing)", small=small)
    if len(answer) <= LONGEST_ANSWER:
        return Entry(answer, small=small)
    return Entry(f"{answer[:LONGEST_ANSWER]}…", small=small, more=answer, more_title="all")
