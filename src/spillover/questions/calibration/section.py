"""The report's sections on calibration: other metrics of choices, and how often a model is right where it is sure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from markupsafe import Markup

from spillover.analysis.analysis import Analysis
from spillover.analysis.wording import plain, signed
from spillover.questions.calibration.reliability import Reliability
from spillover.records import BASE, Measurement, StudyResults
from spillover.report.figures import MOST_LINES, undrawn_words
from spillover.report.section import Chart, Column, Details, Entry, Panel, Row, Section, number, table, text
from spillover.report.tables import cell_of, condition_words

CHOICE_METRICS = {"macro_f1": "macro-F1", "mcc": "MCC", "ece": "calibration error", "brier": "Brier"}
"""What the report shows of choices beside accuracy, in this order."""

_AXES = (
    '<path d="M0 0V100H100" fill="none" stroke="var(--line)"/><path d="M0 100L100 0" stroke="var(--muted)" '
    'stroke-dasharray="1 3"/>\n<g font-size="7.5" fill="var(--soft)"><text x="-4" y="102" text-anchor="end">0</text>'
    '<text x="-4" y="53" text-anchor="end">0.5</text><text x="-4" y="3" text-anchor="end">1</text>'
    '<text x="0" y="110" text-anchor="middle">0</text><text x="50" y="110" text-anchor="middle">0.5</text>'
    '<text x="100" y="110" text-anchor="middle">1</text><text x="50" y="122" text-anchor="middle">confidence</text>'
    '<text x="-18" y="50" text-anchor="middle" transform="rotate(-90 -18 50)">accuracy</text></g>'
)


def choices_section(results: StudyResults, analysis: Analysis) -> Section:
    """Return the metrics of choices beside accuracy, a row per variant and cell that has any of them."""
    found = {
        (row.variant, cell_of(row), row.metric): row for row in analysis.measurements if row.metric in CHOICE_METRICS
    }
    conditions = condition_words(results)
    rows: list[Row] = [
        (
            *(variant, cell.tested_on, conditions[cell]),
            *(_entry(found.get((variant, cell, metric))) for metric in CHOICE_METRICS),
        )
        for variant, cell in dict.fromkeys((variant, cell) for variant, cell, _ in found)
        if variant != BASE
    ]
    lead = text(
        "Each variant's value and, in brackets, its difference to the base. Macro-F1 and MCC see a model that gives "
        "one answer to everything; the expected calibration error (15 bins) and the Brier score (0 to 2) are better "
        "when lower and take each answer's share of the answer set as its probability."
    )
    columns: tuple[Column | str, ...] = ("variant", "tested on", number("shots"), *map(number, CHOICE_METRICS.values()))
    parts = (lead, table("Other metrics of choices", columns, rows, fact_count=3)) if rows else ()
    return Section(
        "choices",
        "More than accuracy",
        parts,
        short="More than accuracy",
        summary="Macro-F1, MCC, calibration error and Brier score, where answers are chosen.",
    )


def _entry(row: Measurement | None) -> Entry:
    if row is None:
        return Entry("–")
    words = f"{plain(row.value)} ({signed(row.difference)})"
    return Entry(words, star="significant after Holm" if row.is_clear else "")


def calibration_section(found: Sequence[Reliability]) -> Section:
    """Return a chart per model, of many variants those furthest off, and the numbers of all bins."""
    furthest = sorted((item for item in found if item.model != BASE), key=lambda item: -item.error)[:MOST_LINES]
    drawn = [item for item in found if item.model == BASE or item in furthest]
    lead = text(
        "How often a model is right (up) where it is so sure (right), over all its choices in 15 bins of confidence, "
        "the share of the chosen answer within the answer set. On the diagonal a model is as often right as it says; "
        "below it is too sure. Larger dots hold more items; the dashed line is the base."
        f"{undrawn_words(len(found) - 1, 'with the largest calibration error')}"
    )
    columns: tuple[Column | str, ...] = (
        "model",
        *map(number, ("calibration error", "choices", "confidence", "right", "choices so sure")),
    )
    numbers = table("Calibration in numbers", columns, [row for item in found for row in _rows(item)])
    chart = Chart("Accuracy by confidence, the table below holds the numbers", partial(_panels, drawn))
    parts = (lead, chart, Details("The numbers of every bin", (numbers,))) if found else ()
    return Section("calibration", "Calibration", parts, summary="Is a model as often right as it is sure?")


def _rows(item: Reliability) -> Iterator[Row]:
    for entry in item.bins:
        yield (
            *(item.model, plain(item.error), f"{item.item_count:,}"),
            *(plain(entry.confidence), plain(entry.accuracy), f"{entry.item_count:,}"),
        )


def _panels(found: Sequence[Reliability]) -> list[Panel]:
    base = next((item for item in found if item.model == BASE), None)
    return [
        Panel(
            item.model,
            f"calibration error {plain(item.error)}, {item.item_count:,} choices",
            _drawing(item, None if item is base else base),
        )
        for item in found
    ]


def _drawing(item: Reliability, base: Reliability | None) -> Markup:
    color = "var(--accent)" if item.model != BASE else "var(--series-base)"
    dots = "".join(
        f'<circle cx="{100 * entry.confidence:.1f}" cy="{100 - 100 * entry.accuracy:.1f}" '
        f'r="{1 + 5 * (entry.item_count / item.item_count) ** 0.5:.1f}" fill="{color}" fill-opacity=".75"><title>'
        f"{entry.item_count} choices of confidence {plain(entry.confidence)}: {plain(entry.accuracy)} right</title>"
        "</circle>"
        for entry in item.bins
    )
    beside = _line(base, 'stroke="var(--series-base)" stroke-dasharray="4 3"') if base else ""
    own = _line(item, f'stroke="{color}" stroke-width="1.5"')
    return Markup(f'<svg viewBox="-26 -6 152 134" width="228" height="201">\n{_AXES}\n{beside}{own}\n{dots}\n</svg>')


def _line(item: Reliability, style: str) -> str:
    points = " ".join(f"{100 * entry.confidence:.1f},{100 - 100 * entry.accuracy:.1f}" for entry in item.bins)
    return f'<polyline fill="none" {style} points="{points}"/>'
