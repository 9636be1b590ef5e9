"""The part of the section on how sure a classifier is: its calibration, and what each bin of confidence holds."""

from __future__ import annotations

from collections.abc import Sequence

from spillover.analysis.wording import plain
from spillover.questions.receipts.cell_facts import FIRST, facts_of
from spillover.questions.receipts.numbers import ReceiptNumbers
from spillover.records import VariantCard
from spillover.report.section import Column, Details, Part, Row, note, number, table


def sureness_parts(found: Sequence[ReceiptNumbers], variants: Sequence[VariantCard]) -> list[Part]:
    """Return how far each classifier's confidence is from its accuracy, and accuracies and overrides by confidence."""
    true = [row for row in found if not row.is_control]
    if not true:
        return []
    columns: tuple[Column | str, ...] = (
        *("classifier", "tested on", number("accuracy"), number("mean confidence")),
        *(number("calibration error"), number("before temperature scaling"), number("items")),
    )
    rows = {(row.items.classifier, row.items.cell.tested_on): _calibration_row(row) for row in true}
    binned: tuple[Column | str, ...] = (
        *(*FIRST, number("confidence"), number("items"), number("classifier alone"), number("model alone")),
        *(number("with receipts"), number("overrides")),
    )
    by_confidence = table("By confidence", binned, [line for row in true for line in _bin_rows(row)], fact_count=5)
    used = {row.items.classifier for row in true}
    return [
        table("How sure the classifier is", columns, list(rows.values()), fact_count=2),
        *(note(line) for card in variants if {card.name, card.id} & used for line in _held_out(card)),
        Details("By the classifier's confidence", (by_confidence,)),
    ]


def _calibration_row(row: ReceiptNumbers) -> Row:
    items, before = row.items, row.unscaled_calibration_error
    mean = sum(items.confidence) / len(items.confidence)
    return (
        *(items.classifier, items.cell.tested_on, plain(row.classifier), plain(mean)),
        *(plain(row.calibration_error, 3), "–" if before is None else plain(before, 3), str(len(items.own))),
    )


def _held_out(card: VariantCard) -> list[str]:
    """Return what a classifier's temperature rests on, if it has one."""
    found = card.training.get("calibration")
    if not found:
        return []
    return [
        f"{card.id}: a temperature of {card.training['temperature']:.2f} from {found['rows']} held-out rows of its own "
        f"task, on which it is right {found['accuracy']:.2f} of the time; there the calibration error is "
        f"{found['ece_before']:.3f} before and {found['ece_after']:.3f} after."
    ]


def _bin_rows(row: ReceiptNumbers) -> list[Row]:
    return [
        (
            *(*facts_of(row), f"{found.low:.1f}–{found.high:.1f}", str(found.item_count)),
            *(plain(value) for value in (found.classifier, found.alone, found.together)),
            str(found.override_count),
        )
        for found in row.bins
    ]
