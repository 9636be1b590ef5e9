"""Every item of one cell as base and variant answered it, read from the store."""

from collections.abc import Sequence
from dataclasses import dataclass

from spillover.errors import UserError
from spillover.records import BASE, AskedItem, Cell, ItemAnswer
from spillover.steps.cell_steps import ScoreCell
from spillover.store.store import Store
from spillover.study.cells import base_of, cell_name
from spillover.study.items import ItemReader
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


def read_cell_items(study: Study, store: Store, step: ScoreCell) -> CellItems:
    """Return every item of a finished cell.

    Raises:
        UserError: If the cell of the base or of the variant is not finished.
    """
    base = base_of(study, step)
    for needed in (base, step):
        if not store.has(needed):
            raise UserError(f"cell {cell_name(study, needed)!r} is not finished in {store.root}; run the study first")
    reader = ItemReader(store)
    compared = reader.compared(base, step)
    everything = range(len(compared.example_ids))
    asked = reader.asked(base.predictions, compared.example_ids)
    answers = reader.answers(base, compared.before, everything)
    others: Sequence[ItemAnswer | None] = (
        [None] * len(asked) if step is base else reader.answers(step, compared.after, everything)
    )
    rows = zip(asked, answers, others, compared.changes.tolist(), strict=True)
    items = tuple(CellItem(*row) for row in rows)
    return CellItems(step.predictions.model, step.predictions.cell, compared.metric, items)
