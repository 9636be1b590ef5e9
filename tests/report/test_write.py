import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from spillover.questions import GENERALIZATION, answered
from spillover.records import Measurement
from spillover.report.place import MARK
from spillover.report.write import write_report
from tests.report.made_results import made_results
from tests.report.page_reader import read_page

RESULTS = made_results()
ANALYSIS = answered(RESULTS, resample_count=200)
FILES = [MARK, "index.html", "measurements.csv", "report.md", "summary.json"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("study") / "new" / "report"
    write_report(RESULTS, ANALYSIS, target)
    return target


def test_the_report_is_four_files_and_its_mark(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_measurements_are_read_back_exactly(folder: Path) -> None:
    with (folder / "measurements.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    readers = {int: int, float: float, str: str, float | None: lambda text: float(text) if text else None}
    readers[bool | None] = readers[bool] = {"": None, "True": True, "False": False}.__getitem__

    fields = dataclasses.fields(Measurement)
    read_back = [Measurement(**{f.name: readers[f.type](row[f.name]) for f in fields}) for row in rows]  # type: ignore[arg-type]
    assert tuple(read_back) == ANALYSIS.measurements


def test_the_summary_has_stable_keys_and_the_verdicts(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert {"study", "base", "verdicts", "relations", "drift", "skipped", "provenance"} <= set(summary)
    assert [(item["variant"], item["variants"], item["sentence"], item["light"]) for item in summary["verdicts"]] == [
        (item.variant, list(item.variants), item.sentence, item.light) for item in ANALYSIS.verdicts
    ]
    assert [(item["worst"], item["largest_loss"], item["settle"]) for item in summary["verdicts"]] == [
        (item.worst, item.largest_loss, item.settle) for item in ANALYSIS.verdicts
    ]
    assert summary["rule"] == ANALYSIS.verdicts[0].rule
    assert [item["reading"] for item in summary["accuracy_drops"]] == [
        item.reading for item in ANALYSIS.of(GENERALIZATION).accuracy_drops
    ]
    assert [(item["kind"], item["change"]) for item in summary["relations"]] == [
        (item.kind, item.change) for item in ANALYSIS.relations
    ]
    assert [item["mean_difference"] for item in summary["relations"]] == [
        item.mean_difference for item in ANALYSIS.relations
    ]


def test_hostile_text_survives_in_every_file(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>\"',;\r\n\ud800"
    results = made_results(hostile)
    analysis = answered(results, resample_count=50)
    write_report(results, analysis, tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))["study"] == results.name
    with (tmp_path / "measurements.csv").open(encoding="utf-8", newline="") as lines:
        assert len(list(csv.DictReader(lines))) == len(analysis.measurements)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<script>alert(1)</script>" in read_page(page).text
    assert page.count("<script") == 2


def test_a_second_report_replaces_the_first_and_leaves_other_files(tmp_path: Path) -> None:
    write_report(RESULTS, ANALYSIS, tmp_path)
    (tmp_path / "index.html").write_text("old")
    (tmp_path / "study.yaml").write_text("base: tiny")
    write_report(RESULTS, ANALYSIS, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*FILES, "study.yaml"])
    assert (tmp_path / "index.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_report_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    broken = dataclasses.replace(RESULTS, provenance={"seconds": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_report(broken, ANALYSIS, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_importing_the_report_loads_neither_charts_nor_torch() -> None:
    heavy = {"altair", "vl_convert", "jinja2", "torch", "rich"}
    code = f"import sys, spillover.report.write, spillover.report.text; print(*{heavy} & {{*sys.modules}})"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"
