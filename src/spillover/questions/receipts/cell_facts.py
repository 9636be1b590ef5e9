"""The first columns of every table on receipts: which cell a row is of."""

from __future__ import annotations

from spillover.questions.receipts.numbers import ReceiptNumbers
from spillover.report.section import Column, number

FIRST: tuple[Column | str, ...] = ("model, asked", "classifier", "tested on", number("shots"))


def facts_of(row: ReceiptNumbers) -> tuple[str, str, str, str]:
    """Return which cell it is: model and ask, classifier, task, shots."""
    items = row.items
    seed = f", seed {items.cell.demonstration_seed}" if items.cell.demonstration_seed else ""
    asked = f"{items.asked.variant}, {items.asked.ask}"
    return asked, items.classifier, items.cell.tested_on, f"{items.cell.shots}{seed}"


def words_of(row: ReceiptNumbers) -> str:
    """Return which cell it is, in words."""
    asked, classifier, task, _ = facts_of(row)
    cell = row.items.cell
    seed = f", demonstrations {cell.demonstration_seed}" if cell.demonstration_seed else ""
    return f"{task} at {cell.shots} shots{seed}, {asked} of {classifier}"
