"""Write the report's files so that they appear whole or not at all."""

import csv
import dataclasses
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from spillover.analysis.analysis import Analysis
from spillover.analysis.gate import judged, plain_judged
from spillover.records import Measurement, StudyResults
from spillover.report.formats import USUAL, Format
from spillover.report.latex import latex_tables
from spillover.report.parquet import measurements_parquet
from spillover.report.place import MARK, mark, refuse_others
from spillover.report.section import shown

COLUMNS = tuple(item.name for item in dataclasses.fields(Measurement))


def write_report(
    results: StudyResults, analysis: Analysis, folder: Path, *, formats: Sequence[Format] = USUAL
) -> tuple[Path, ...]:
    """Write a file a format into ``folder`` and return their paths.

    Everything is made before anything is written, then written aside and renamed into place.

    Raises:
        UserError: If the folder holds the report of another study.
    """
    refuse_others(folder, results.name, results.origin)
    # Data before pages: they cost least, and writing them refuses a number that is none.
    files: dict[str, str | bytes] = {MARK: mark(folder, results.name, results.origin)}
    files |= {kind.file_name: _content(kind, results, analysis) for kind in reversed(formats)}
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".report-") as aside:
        for name, content in files.items():
            # A lone surrogate has no UTF-8 bytes; its escape is also valid in JSON.
            data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
            (Path(aside) / name).write_bytes(data)
        for name in files:
            (Path(aside) / name).replace(folder / name)
    return tuple(folder / kind.file_name for kind in formats)


def _content(kind: Format, results: StudyResults, analysis: Analysis) -> str | bytes:
    match kind:
        case Format.HTML | Format.MARKDOWN:
            from spillover.report.page import html_page, markdown_page  # with charts, which other formats do not need

            return (html_page if kind == Format.HTML else markdown_page)(results, analysis)
        case Format.LATEX:
            return latex_tables(results, analysis)
        case Format.CSV:
            return measurements_csv(analysis)
        case Format.PARQUET:
            return measurements_parquet(analysis)
        case Format.JSON:
            return summary_json(results, analysis)


def measurements_csv(analysis: Analysis) -> str:
    """Return one row per measurement; floats are written so that reading them gives the same numbers."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in analysis.measurements:
        values = [_cell(getattr(row, name)) for name in COLUMNS]
        writer.writerow(
            ["" if value is None else repr(float(value)) if isinstance(value, float) else value for value in values]
        )
    return out.getvalue()


def _cell(value: object) -> object:
    """Return a value of which a spreadsheet runs nothing: a name that begins as a formula does gets an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def summary_json(results: StudyResults, analysis: Analysis) -> str:
    """Return `summary` as text."""
    return json.dumps(summary(results, analysis), indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n"


def summary(results: StudyResults, analysis: Analysis) -> dict[str, object]:
    """Return what a program needs to decide, under stable keys."""
    return {
        "study": results.name,
        "base": dict(results.base),
        "rule": analysis.verdicts[0].rule if analysis.verdicts else "",
        "interval": {
            "level": analysis.level,
            "resample_count": analysis.resample_count,
            "kind": "Gaffke, tasks combined by MOVER; expanded percentiles where a metric is no mean of items",
        },
        "verdicts": [
            {
                "variant": item.variant,
                "variants": list(item.variants),
                "sentence": item.sentence,
                "light": item.light,
                "worst": item.worst,
                "largest_loss": item.largest_loss,
                "settle": item.settle,
                "cannot_lose": list(item.idle),
                "evidence": list(item.evidence),
            }
            for item in analysis.verdicts
        ],
        "judged": plain_judged(judged(analysis.judged, {item.variant: item.light for item in analysis.verdicts})),
        "margin": results.margin,
        "negative_transfer": {item.variant: list(item.negative_transfer) for item in analysis.verdicts},
        "relations": [dataclasses.asdict(item) for item in analysis.relations],
        "recipes": [dataclasses.asdict(item) for item in analysis.recipes],
        "flip_floors": [
            {"variant": variant, **dataclasses.asdict(cell), **dataclasses.asdict(floor)}
            for (variant, cell), floor in results.flip_floors.items()
        ],
        "cells_that_cannot_lose": [
            {**dataclasses.asdict(item.cell), "metric": item.metric, "base": item.base_value, "floor": item.floor}
            for item in analysis.idle
        ],
        **{key: value for question, found in shown(analysis) for key, value in question.summary(found).items()},
        "forgetting": {
            card.id: card.training["forgetting"] for card in results.variants if card.training.get("forgetting")
        },
        "skipped": list(results.skipped),
        "provenance": dict(results.provenance),
    }
