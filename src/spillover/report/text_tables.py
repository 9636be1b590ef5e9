"""The report's tables in the terminal: verdicts, relations and the matrix, folded and split to fit the width."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from spillover.analysis.analysis import Analysis
from spillover.analysis.readings import Change
from spillover.analysis.wording import interval_words, plain, signed
from spillover.records import StudyResults
from spillover.report.tables import Matrix, MatrixCell, matrices
from spillover.report.terminal_table import table, text
from spillover.report.text import text_summary

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

FACTS_WIDTH = 40
"""Columns of the terminal that a matrix's rows take before their first variant."""
VARIANT_WIDTH = 23
"""Columns of the terminal that a difference with its interval takes on one line."""
STYLES = {Change.GAINED: "green", Change.LOST: "red"}
"""Colours repeat what sign and star say."""


def text_report(results: StudyResults, analysis: Analysis, *, width: int) -> Iterator[RenderableType]:
    """Yield what a terminal of ``width`` columns prints, the verdicts last, where they stay in sight."""
    for matrix in matrices(results, analysis):
        yield from _matrix(matrix, width)
    yield table(
        ("variant", "relation", "metric", "base", "own", "difference", "interval", "reading"),
        [
            (
                *map(text, (item.variant, item.relation, item.kind, plain(item.base_mean), plain(item.variant_mean))),
                text(signed(item.mean_difference), STYLES.get(item.change, "") if item.change else ""),
                text(interval_words(item.low, item.high)),
                text(item.reading),
            )
            for item in analysis.relations
        ],
        width=width,
        title="mean differences to the base",
    )
    for sentence in results.skipped:
        yield text(f"skipped: {sentence}")
    yield text_summary(results, analysis)


def _matrix(matrix: Matrix, width: int) -> Iterator[Table]:
    """Yield the matrix, in several tables where its variants do not stand side by side."""
    side_by_side = max(1, (width - FACTS_WIDTH) // VARIANT_WIDTH)
    for start in range(0, len(matrix.variants), side_by_side):
        shown = slice(start, start + side_by_side)
        rows: list[tuple[Text, ...]] = []
        for group in matrix.groups:
            rows.append((text(group.relation.value, "bold"),))
            for row in group.rows:
                facts = (row.tested_on, row.condition, row.metric, row.base_score)
                rows.append((*map(text, facts), *map(_cell, row.cells[shown])))
        title = f"differences to the base, trained on {matrix.trained_on}; ★ clear"
        yield table(("tested on", "shots", "metric", "base", *matrix.variants[shown]), rows, width=width, title=title)


def _cell(cell: MatrixCell) -> Text:
    style = "" if not cell.is_clear else "green" if cell.tint.startswith("up") else "red"
    return text(f"{cell.difference}{'★' if cell.is_clear else ''} {cell.interval}", style)
