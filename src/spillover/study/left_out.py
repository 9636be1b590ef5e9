"""Items whose prompt does not fit under one way of asking: they leave every cell that is compared with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from spillover.records import PLAIN, Cell, CellScores
from spillover.steps.cell_steps import ScoreCell
from spillover.steps.predict import Predict
from spillover.store.store import Store

Group = tuple[str, int]
"""A tested task and a shot count, whose cells are compared."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What some cell of a group was not asked, and so no cell of it is counted by."""

    items: Mapping[Group, frozenset[str]]
    """Ids; groups that were asked everything are absent."""
    sentences: tuple[str, ...] = ()
    """How many items and because of which asks, one sentence a group."""

    def of(self, cell: Cell) -> Collection[str]:
        """Return the ids that a cell is not counted by."""
        return self.items.get((cell.tested_on, cell.shots), frozenset())

    def without(self, scores: Iterable[CellScores]) -> tuple[CellScores, ...]:
        """Return scores over the items that every cell of their group was asked."""
        return tuple(_only(row, self.of(row.cell)) for row in scores)


def left_out(steps: Sequence[ScoreCell], store: Store) -> LeftOut:
    """Return the items that some of the finished cells was not asked."""
    finished = [step for step in steps if store.has(step)]
    asks: dict[Group, dict[str, None]] = {}
    for step in finished:
        asked = step.predictions
        if isinstance(asked, Predict) and asked.too_long_count(store):
            asks.setdefault((asked.cell.tested_on, asked.cell.shots), {})[asked.cell.ask] = None
    items, sentences = dict[Group, frozenset[str]](), list[str]()
    for group, names in asks.items():
        own = [step for step in finished if (step.predictions.cell.tested_on, step.predictions.cell.shots) == group]
        asked_ids = [set(step.statistics(store)[0]) for step in own]
        items[group] = frozenset(set[str]().union(*asked_ids) - asked_ids[0].intersection(*asked_ids))
        lacking = max(step.predictions.too_long_count(store) for step in own if isinstance(step.predictions, Predict))
        said = ", ".join("plain" if name == PLAIN else name for name in names)
        count = max(lacking, len(items[group]))
        sentences.append(
            f"{group[0]} at {group[1]} shots: {count} items, whose prompts do not fit the model's context as {said}, "
            "are left out of all its cells"
        )
    return LeftOut({group: ids for group, ids in items.items() if ids}, tuple(sentences))


def _only(row: CellScores, ids: Collection[str]) -> CellScores:
    if not ids:
        return row
    kept = [place for place, name in enumerate(row.example_ids) if name not in ids]
    return replace(
        row,
        example_ids=tuple(row.example_ids[place] for place in kept),
        statistics=row.statistics[kept],
        groups=tuple(row.groups[place] for place in kept) if row.groups else (),
    )
