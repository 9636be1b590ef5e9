"""The report's section on a small model in the prompt: advice, what each does alone, overrides and copying."""

from __future__ import annotations

from collections.abc import Sequence

from spillover.analysis.wording import difference_words, interval_words, plain, signed
from spillover.questions.receipts.cell_facts import FIRST, facts_of, words_of
from spillover.questions.receipts.numbers import RULE, Advice, Difference, ReceiptNumbers
from spillover.questions.receipts.reading import SCORINGS
from spillover.questions.receipts.said_section import said_parts
from spillover.questions.receipts.sureness import sureness_parts
from spillover.records import VariantCard
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


def receipts_section(
    found: Sequence[ReceiptNumbers], advice: Sequence[Advice], variants: Sequence[VariantCard]
) -> Section:
    """Return a sentence of advice a cell, and the numbers behind it."""
    own = [row for row in found if row.items.scoring == SCORINGS[0]]
    raw = [row for row in found if row.items.scoring != SCORINGS[0]]
    lead = text(
        "A model is shown what a classifier says of an item and answers itself (SuperContext). Answers are compared "
        "after the label's mean over the cell is taken off (batch calibration), because raw a small model mostly says "
        "one label whatever it is shown; raw answers stand below."
    )
    sentences = [point(name(words_of(item.found)), f": {item.sentence}") for item in advice]
    cascade_notes = [
        note(
            "In the cascade the classifier answers where its confidence is above a threshold, the model by itself "
            "everywhere else. The threshold is the one of most right answers on training rows of the tested task that "
            "no variant learns from."
        )
    ] * any(row.cascade is not None for row in own)
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
        *cascade_notes,
        *sureness_parts(own, variants),
        *said_parts(own),
        Details("Answers compared raw", (_accuracies("Raw", raw), _overrides("Raw: overrides and copying", raw))),
    )
    return Section("receipts", "A small model in the prompt", parts, Place.CELLS)


def _accuracies(label: str, found: Sequence[ReceiptNumbers]) -> Table:
    columns: tuple[Column | str, ...] = (
        *(*FIRST, number("model alone"), number("classifier alone"), number("with receipts")),
        *(number("less classifier"), number("less model"), number("product"), number("cascade"), number("oracle")),
        number("items"),
    )
    return table(label, columns, [_accuracy_row(row) for row in found], fact_count=4)


def _accuracy_row(row: ReceiptNumbers) -> Row:
    return (
        *facts_of(row),
        *(plain(value) for value in (row.alone, row.classifier, row.together)),
        _difference(row.less_classifier),
        _difference(row.less_alone),
        *(plain(row.product), _cascade(row), plain(row.oracle)),
        str(len(row.items.final)),
    )


def _cascade(row: ReceiptNumbers) -> Entry:
    if row.cascade is None or row.cascade_threshold is None:
        return Entry("–")
    lines = (
        f"above {row.cascade_threshold:.3f}",
        f"{row.cascade_row_count} rows",
        f"model asked {row.cascade_asked_count}",
    )
    return Entry(plain(row.cascade), small=lines)


def _difference(item: Difference) -> Entry:
    return Entry(difference_words(item.value, item.low, item.high), small=(interval_words(item.low, item.high),))


def _overrides(label: str, found: Sequence[ReceiptNumbers]) -> Table:
    columns: tuple[Column | str, ...] = (
        *(*FIRST, number("overridden"), number("overrides"), number("of them right"), number("helpful")),
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
        *facts_of(row),
        *(plain(row.override_rate), str(row.override_count)),
        precision,
        *(str(row.helpful_count), str(row.harmful_count)),
        *(plain(row.copied), plain(row.copied_alone)),
        signed(row.excess),
        str(row.copied_of),
        f"{row.items.wrong_demonstration_count} of {told}" if told else "–",
    )
