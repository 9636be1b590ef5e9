"""Every item of one cell as base and variant answered it, read from the store."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.errors import UserError
from spillover.evaluation.metrics import METRICS
from spillover.records import BASE, AskedItem, Cell, CellScores, FloatArray, ItemAnswer
from spillover.study.cells import base_of, cell_name
from spillover.study.items import SMALLEST_CHANGE, ItemReader, item_scores
from spillover.study.step import Score
from spillover.study.store import Store
from spillover.study.study import Study


@dataclass(frozen=True, slots=True)
class CellItem:
    """One item of a cell and its answers."""

    asked: AskedItem
    base: ItemAnswer
    variant: ItemAnswer | None
    """None where the cell is the base's own."""
    change: float
    """What the variant's answer scores more than the base's, negative when it is worse; 0 for the base itself."""


@dataclass(frozen=True, slots=True)
class CellItems:
    """A cell's items in the order they were asked."""

    variant: str
    cell: Cell
    metric: str
    """What items are compared by."""
    items: tuple[CellItem, ...]

    @property
    def has_variant(self) -> bool:
        """Whether the cell is a variant's, not the base's own."""
        return self.variant != BASE


def read_cell_items(study: Study, store: Store, step: Score) -> CellItems:
    """Return every item of a finished cell.

    Raises:
        UserError: If the cell of the base or of the variant is not finished.
    """
    base = base_of(study, step)
    for needed in (base, step):
        if not store.has(needed.kind, needed.key):
            raise UserError(f"cell {cell_name(study, needed)!r} is not finished in {store.root}; run the study first")
    reader = ItemReader(store)
    before, after = reader.scores(base), reader.scores(step)
    everything = range(len(before.example_ids))
    asked = reader.asked(base.predictions, before.example_ids)
    answers = reader.answers(base, before, everything)
    others: Sequence[ItemAnswer | None] = (
        [None] * len(asked) if step is base else reader.answers(step, after, everything)
    )
    rows = zip(asked, answers, others, score_changes(before, after).tolist(), strict=True)
    return CellItems(after.variant, after.cell, after.metric, tuple(CellItem(*row) for row in rows))


def score_changes(before: CellScores, after: CellScores) -> FloatArray:
    """Return how much better each item scores ``(n,)``, exactly zero where only rounding remains."""
    sign = 1 if METRICS[after.metric].card.higher_is_better else -1
    changes = sign * (item_scores(after) - item_scores(before))
    return np.where(np.abs(changes) < SMALLEST_CHANGE, 0.0, changes)
