"""Items with a classifier's verdict beside them, written out by hand or drawn."""

import random
from dataclasses import replace

from spillover.questions.receipts.reading import ReceiptItems
from spillover.records import BASE, AskedBy, Cell, StudyResults
from tests.report.made_results import made_results

LABELS = ("yes", "no", "maybe")


def made_items(count: int = 40, *, seed: int = 0, cell: Cell | None = None) -> ReceiptItems:
    """Return items whose texts are drawn independently of each other."""
    draw = random.Random(seed)

    def labels() -> tuple[str, ...]:
        return tuple(draw.choice(LABELS) for _ in range(count))

    own = labels()
    return ReceiptItems(
        AskedBy(BASE, "receipts"),
        "slm",
        cell or Cell("home", 1, 2, 0, "receipts"),
        "batch",
        tuple(f"row {index}" for index in range(count)),
        labels(),
        labels(),
        own,
        (0.5,) * count,
        own,
        labels(),
        labels(),
        2,
        1,
    )


def made_with_receipts() -> StudyResults:
    """Return the made study with true receipts and a control in one cell, compared in both ways."""
    results = made_results()
    cell = Cell(results.tasks[0].name, 1, 2, 0, "receipts")
    true = made_items(cell=cell)
    control = replace(made_items(cell=replace(cell, ask="copied")), asked=AskedBy(BASE, "copied"), shown=true.own[::-1])
    both = (true, control, *(replace(items, scoring="raw") for items in (true, control)))
    return replace(results, collected={"receipts": both})
