"""The report's section on a small model in the prompt: advice, what each does alone, overrides and copying."""

from __future__ import annotations

from collections.abc import Sequence

from spillover.analysis.wording import difference_words, interval_words, plain, signed
from spillover.questions.receipts.numbers import RULE, Advice, Difference, ReceiptNumbers
from spillover.questions.receipts.reading import SCORINGS
from spillover.report.section import (
    Column,
    Details,
    Entry,
    Part,
    Place,
    Row,
    Section,
    Table,
    name,
    note,
    number,
    point,
    table,
    text,
)

_FIRST: tuple[Column | str, ...] = ("model, asked", "classifier", "tested on", number("shots"))


def receipts_section(found: Sequence[ReceiptNumbers], advice: Sequence[Advice]) -> Section:
    """Return a sentence of advice a cell, and the numbers behind it."""
    own = [row for row in found if row.items.scoring == SCORINGS[0]]
    raw = [row for row in found if row.items.scoring != SCORINGS[0]]
    lead = text(
        "A model is shown what a classifier says of an item and answers itself (SuperContext). Answers are compared "
        "after the label's mean over the cell is taken off (batch calibration), because raw a small model mostly says "
        "one label whatever it is shown; raw answers stand below."
    )
    sentences = [
        point(name(f"{item.found.items.cell.tested_on}, {item.found.items.cell.shots} shots"), f": {item.sentence}")
        for item in advice
    ]
    parts: tuple[Part, ...] = (
        lead,
        *sentences,
        note(RULE),
        _accuracies("A small model in the prompt", own),
        _overrides("Overrides and copying", own),
        note(
            "An override is an answer that is not the classifier's; helpful ones are right, harmful ones are wrong "
            "where the classifier is right, and their difference is what accuracy gains over it. Copying is how often "
            "the answer is the label shown, in controls over the items whose label shown is not the classifier's; the "
            "excess is over the same answers given without receipts."
        ),
        Details("Answers compared raw", (_accuracies("Raw", raw), _overrides("Raw: overrides and copying", raw))),
    )
    return Section("receipts", "A small model in the prompt", parts, Place.CELLS)


def _accuracies(label: str, found: Sequence[ReceiptNumbers]) -> Table:
    columns: tuple[Column | str, ...] = (
        *(*_FIRST, number("model alone"), number("classifier alone"), number("with receipts")),
        *(number("less classifier"), number("less model"), number("product"), number("oracle"), number("items")),
    )
    return table(label, columns, [_accuracy_row(row) for row in found], fact_count=4)


def _accuracy_row(row: ReceiptNumbers) -> Row:
    return (
        *_facts(row),
        *(plain(value) for value in (row.alone, row.classifier, row.together)),
        _difference(row.less_classifier),
        _difference(row.less_alone),
        *(plain(value) for value in (row.product, row.oracle)),
        str(len(row.items.final)),
    )


def _difference(item: Difference) -> Entry:
    return Entry(difference_words(item.value, item.low, item.high), small=(interval_words(item.low, item.high),))


def _overrides(label: str, found: Sequence[ReceiptNumbers]) -> Table:
    columns: tuple[Column | str, ...] = (
        *(*_FIRST, number("overridden"), number("overrides"), number("of them right"), number("helpful")),
        *(number("harmful"), number("answer is the label shown"), number("the same without receipts")),
        *(number("excess"), number("of items"), number("wrong in demonstrations")),
    )
    return table(label, columns, [_override_row(row) for row in found], fact_count=4)


def _override_row(row: ReceiptNumbers) -> Row:
    precision = Entry("–")
    if row.override_precision is not None:
        interval = interval_words(row.override_low, row.override_high)
        precision = Entry(plain(row.override_precision), small=(interval,))
    told = row.items.demonstration_count
    return (
        *_facts(row),
        *(plain(row.override_rate), str(row.override_count)),
        precision,
        *(str(row.helpful_count), str(row.harmful_count)),
        *(plain(row.copied), plain(row.copied_alone)),
        signed(row.excess),
        str(row.copied_of),
        f"{row.items.wrong_demonstration_count} of {told}" if told else "–",
    )


def _facts(row: ReceiptNumbers) -> tuple[str, str, str, str]:
    items = row.items
    seed = f", seed {items.cell.demonstration_seed}" if items.cell.demonstration_seed else ""
    asked = f"{items.asked.variant}, {items.asked.ask}"
    return asked, items.classifier, items.cell.tested_on, f"{items.cell.shots}{seed}"
