"""The item explorer: the items a variant lost and gained as data for the page's script, within a budget of bytes."""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TypeVar

from markupsafe import Markup

from spillover.records import AskedItem, Cell, CellChanges, ItemAnswer, ItemChange, StudyResults

BUDGET = 2_000_000
"""Bytes of the items' data on the page at the most."""

LEAST_BUDGET = 300_000
"""Bytes of them where everything else takes the page."""

LONGEST_TEXT = 4_000
"""Characters of one text; of a longer one the middle is left out and counted."""

ROW_BYTES = 120
"""What an item and its change take beside their texts."""

STATIC_CELLS = 3
"""Cells of each variant, those with most regressions, whose first one is on the page without the script as well."""

STATIC_ITEMS = 24
"""What these are at most together, but for one of each variant: eight pages of paper."""

_UNSAFE = re.compile(r"[<>&\u007f-\u009f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

_Row = TypeVar("_Row", str, tuple[int, ...])

Text = str | list[str | int]
"""A text, or its beginning, how many characters are left out, and its end."""


@dataclass
class _Content:
    """What the script reads: texts once, everything else by their position."""

    texts: list[Text] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    bytes: int = 0

    def add(self, text: str) -> int:
        """Return the position of a text, which is stored once."""
        if text not in self.positions:
            self.positions[text] = len(self.texts)
            self.texts.append(shortened(text))
            self.bytes += len(_json(self.texts[-1])) + 1
        return self.positions[text]


@dataclass(frozen=True, slots=True)
class Explorer:
    """The explorer's data, and what the page says of it."""

    data: Markup
    """JSON that is safe inside a script element."""
    shown_count: int
    change_count: int
    """Of all cells, shown or not."""
    examples: tuple[tuple[CellChanges, ItemChange], ...]
    """A few regressions for a page whose script does not run."""


def explorer(results: StudyResults, *, budget: int = BUDGET) -> Explorer | None:
    """Return the explorer of a study; None where no item changed or items are not at hand.

    Cells take turns, one regression and one gain each, largest changes first, until all are in or the budget is spent.
    """
    if not any(row.regression_count or row.gain_count for row in results.changes):
        return None
    content = _Content()
    models = {card.id: index for index, card in enumerate(results.variants)}
    tasks = {card.name: index for index, card in enumerate(results.tasks)}
    cells = {cell: index for index, cell in enumerate(dict.fromkeys(row.cell for row in results.changes))}
    prefixes = _shared(results)
    cell_rows = [
        [
            tasks[cell.tested_on],
            cell.prompt_form,
            cell.shots,
            cell.demonstration_seed,
            content.add(text),
            _ids(content, ids),
        ]
        for cell, (text, ids) in prefixes.items()
    ]
    items: dict[tuple[Cell, str], int] = {}
    item_rows: list[list[object]] = []
    change_rows: list[list[object]] = []
    for row, change, direction in _turns(results.changes):
        if content.bytes + ROW_BYTES * len(change_rows) > budget:
            break
        name = row.cell, change.item.example_id
        if name not in items:
            items[name] = len(item_rows)
            item_rows.append([cells[row.cell], *_item(content, change.item, *prefixes[row.cell])])
        answers = [*_answer(content, change.base), *_answer(content, change.variant)]
        change_rows.append([models[row.variant], items[name], direction, *answers])
    counts = [
        [models[row.variant], cells[row.cell], row.regression_count, row.gain_count, results.metrics[row.metric].name]
        for row in results.changes
    ]
    data = {
        "models": [shortened(name) for name in models],
        "tasks": [shortened(name) for name in tasks],
        "texts": content.texts,
        "cells": cell_rows,
        "items": item_rows,
        "changes": change_rows,
        "counts": counts,
    }
    return Explorer(
        Markup(_json(data)),
        len(change_rows),
        sum(row.regression_count + row.gain_count for row in results.changes),
        tuple(_examples(results)),
    )


def shortened(text: str) -> Text:
    """Return a text, or of a long one its two ends and the count between them."""
    if len(text) <= LONGEST_TEXT:
        return text
    half = LONGEST_TEXT // 2
    return [text[:half], len(text) - 2 * half, text[-half:]]


def _json(value: object) -> str:
    """Write JSON without a character that could end the script element, turn text round or have no bytes."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _turns(changes: Sequence[CellChanges]) -> Iterator[tuple[CellChanges, ItemChange, int]]:
    """Yield the first regression and gain of each cell, then the second ones; -1 is a regression, 1 a gain."""
    queues = [
        [(row, change, direction) for change in found]
        for row in changes
        for found, direction in ((row.regressions, -1), (row.gains, 1))
    ]
    for turn in zip_longest(*queues):
        yield from (entry for entry in turn if entry)


def _shared(results: StudyResults) -> dict[Cell, tuple[str, tuple[int, ...]]]:
    """Return the text and the token ids with which all prompts of each cell begin."""
    prompts: dict[Cell, set[str]] = {}
    ids: dict[Cell, set[tuple[int, ...]]] = {}
    for row in results.changes:
        items = [change.item for change in (*row.regressions, *row.gains)]
        prompts.setdefault(row.cell, set()).update(item.prompt for item in items)
        kept = (item.token_ids for item in items if item.token_ids is not None)
        ids.setdefault(row.cell, set()).update(kept)
    return {cell: (_common_start(prompts[cell], ""), _common_start(ids[cell], ())) for cell in prompts}


def _common_start(rows: Collection[_Row], empty: _Row) -> _Row:
    """Return the first elements that all rows share, which are those that the least and the greatest share."""
    if len(rows) < 2:
        return empty
    least, greatest = min(rows), max(rows)
    pairs = enumerate(zip(least, greatest, strict=False))
    return least[: next((index for index, (a, b) in pairs if a != b), len(least))]


def _item(content: _Content, item: AskedItem, text: str, ids: tuple[int, ...]) -> list[object]:
    own = item.prompt[len(text) :]
    own_ids = -1 if item.token_ids is None else _ids(content, item.token_ids[len(ids) :])
    options = [content.add(option) for option in item.options]
    return [content.add(item.example_id), content.add(own), own_ids, content.add(item.target), options, len(own)]


def _ids(content: _Content, ids: Sequence[int]) -> int:
    return content.add(" ".join(map(str, ids)))


def _answer(content: _Content, answer: ItemAnswer) -> list[object]:
    return [content.add(answer.text), round(answer.score, 4), [round(share, 3) for share in answer.shares]]


def _examples(results: StudyResults) -> Iterator[tuple[CellChanges, ItemChange]]:
    most = max(1, min(STATIC_CELLS, STATIC_ITEMS // len(results.variants)))
    for card in results.variants:
        own = [row for row in results.changes if row.variant == card.id and row.regressions]
        for row in sorted(own, key=lambda row: -row.regression_count)[:most]:
            yield row, row.regressions[0]
