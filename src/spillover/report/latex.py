"""The report's tables for a paper: the relations' means and the matrix of differences, in LaTeX with booktabs."""

import re
from collections.abc import Iterator, Sequence

from spillover.analysis.analysis import Analysis
from spillover.analysis.wording import interval_words, plain, signed
from spillover.records import StudyResults
from spillover.report.tables import Matrix, matrices
from spillover.report.text import printable

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "−": "$-$",
    "±": r"$\pm$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_SPECIAL_CHARACTER = re.compile("|".join(map(re.escape, _SPECIAL)))


def latex(text: str) -> str:
    """Return text that LaTeX prints as it is."""
    return _SPECIAL_CHARACTER.sub(lambda match: _SPECIAL[match[0]], printable(text))


def latex_tables(results: StudyResults, analysis: Analysis) -> str:
    """Return one table of the relations and one a task trained on, to be read into a document as they are."""
    level = f"{analysis.level:.0%}"
    facts = ("variant", "relation", "metric", "cells", "items", "base", "variant")
    header = (*facts, "difference", f"{level} interval", "reading")
    relations = [
        (
            item.variant,
            item.relation.value,
            item.kind,
            str(item.cell_count),
            str(item.item_count),
            plain(item.base_mean),
            plain(item.variant_mean),
            signed(item.mean_difference),
            interval_words(item.low, item.high),
            item.reading,
        )
        for item in analysis.relations
    ]
    tables = [
        _table(
            f"{results.name}: mean differences to the base by relation, with {level} intervals; gained and lost after "
            "Holm's adjustment over the study.",
            "lllrrrrrll",
            [_row(header)],
            [list(map(_row, relations))],
        )
    ]
    for matrix in matrices(results, analysis):
        caption = f"{results.name}: differences to the base of variants trained on {matrix.trained_on}, with {level} "
        tables.append(
            _table(
                f"{caption}intervals; clear ones in bold.",
                "llrlrr" + "l" * len(matrix.variants),
                [_row(("relation", "tested on", "shots", "metric", "items", "base", *matrix.variants))],
                list(_groups(matrix)),
            )
        )
    return "% Needs \\usepackage{booktabs}.\n" + "\n".join(tables)


def _groups(matrix: Matrix) -> Iterator[list[str]]:
    for group in matrix.groups:
        rows = []
        for row in group.rows:
            facts = (group.relation.value, row.tested_on, row.condition, row.metric, str(row.item_count))
            cells = [
                f"\\textbf{{{latex(cell.difference)}}} {latex(cell.interval)}"
                if cell.is_clear
                else f"{latex(cell.difference)} {latex(cell.interval)}"
                for cell in row.cells
            ]
            rows.append(" & ".join([*map(latex, (*facts, row.base_score)), *cells]))
        yield rows


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(latex, cells))


def _table(caption: str, columns: str, header: Sequence[str], groups: Sequence[Sequence[str]]) -> str:
    parts = [[f"{row} \\\\" for row in rows] for rows in (header, *groups)]
    body = "\n\\midrule\n".join("\n".join(rows) for rows in parts)
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{latex(caption)}}}\n"
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{body}\n\\bottomrule\n"
        "\\end{tabular}\n\\end{table}\n"
    )
