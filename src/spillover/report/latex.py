"""The report's tables for a paper: the relations' means and the matrix of differences, in LaTeX with booktabs."""

import re
from collections.abc import Iterator

from spillover.analysis.analysis import Analysis
from spillover.records import StudyResults
from spillover.report.section import Entry, Group, Row, Table
from spillover.report.sections import printed_tables
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
    """Return the relations and one table a task trained on, to be read into a document as they are."""
    tables = [latex_table(table, f"{results.name}: {table.label}") for table in printed_tables(results, analysis)]
    return "% Needs \\usepackage{booktabs}.\n" + "\n".join(tables)


def latex_table(table: Table, caption: str) -> str:
    """Return one table; what has a star on the page is bold."""
    stars = sorted({entry.star for row in table.rows for entry in row if isinstance(entry, Entry) and entry.star})
    header = [_line([column.title for column in table.columns])]
    groups = [header, *(list(_rows(group, len(table.columns))) for group in table.groups)]
    body = "\n\\midrule\n".join("\n".join(rows) for rows in groups)
    kinds = "".join("r" if column.kind == "number" else "l" for column in table.columns)
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{latex(caption)}{latex('; bold: ' + ', '.join(stars)) if stars else ''}.}}\n"
        f"\\begin{{tabular}}{{{kinds}}}\n\\toprule\n{body}\n\\bottomrule\n"
        "\\end{tabular}\n\\end{table}\n"
    )


def _rows(group: Group, column_count: int) -> Iterator[str]:
    if group.heading:
        yield f"\\textit{{{latex(group.heading)}}}{' &' * (column_count - 1)} \\\\"
    for row in group.rows:
        yield _line(row)


def _line(row: Row) -> str:
    return " & ".join(map(_cell, row)) + " \\\\"


def _cell(found: str | Entry | None) -> str:
    entry = found if isinstance(found, Entry) else Entry(found or "")
    shown = f"\\textbf{{{latex(entry.text)}}}" if entry.star else latex(entry.text)
    return " ".join([shown, *map(latex, entry.small)]) + " &" * (entry.columns - 1)
