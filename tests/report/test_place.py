import dataclasses
import json

import pytest

from spillover.errors import UserError
from spillover.questions import answered
from spillover.report.formats import Format
from spillover.report.place import MARK, report_folder
from spillover.report.write import write_report
from tests.report.made_results import made_results

RESULTS = made_results()
ANALYSIS = answered(RESULTS, resample_count=20)


def report(folder, name, *origin):
    results = dataclasses.replace(RESULTS, name=name, origin=origin)
    write_report(results, ANALYSIS, folder, formats=[Format.CSV])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_study_has_a_folder_of_its_name_and_another_of_that_name_takes_the_next(here):
    mine, other = str(here / "a" / "study.yaml"), str(here / "b" / "study.yaml")
    places = []
    for origin in (mine, other, mine, other):
        place = report_folder(None, "study", [origin])
        report(place, "study", origin)
        places.append(place.as_posix())
    assert places == ["report/study", "report/study-2", "report/study", "report/study-2"]


def test_a_given_folder_is_taken_as_it_is_and_refused_where_another_study_has_its_report(here):
    mine, other = str(here / "a" / "study.yaml"), str(here / "b" / "study.yaml")
    assert report_folder(here / "mine", "study", [mine]) == here / "mine"
    report(here / "mine", "study", mine)
    before = (here / "mine" / "measurements.csv").read_bytes()
    report(here / "mine", "study", mine)
    for name, origin in (("study", other), ("renamed", mine)):
        with pytest.raises(UserError, match="holds the report of another study, 'study', which would be overwritten"):
            report_folder(here / "mine", name, [origin])
        with pytest.raises(UserError, match="name another folder"):
            report(here / "mine", name, origin)
    assert (here / "mine" / "measurements.csv").read_bytes() == before


def test_a_study_that_moves_with_its_report_keeps_it(here):
    report(here / "project" / "report", "study", str(here / "project" / "study.yaml"))
    (here / "project").rename(here / "moved")
    report(here / "moved" / "report", "study", str(here / "moved" / "study.yaml"))
    assert str(here) not in (here / "moved" / "report" / MARK).read_text()


def test_files_that_are_no_report_of_ours_are_not_overwritten(here):
    (here / "site").mkdir()
    (here / "site" / "index.html").write_text("mine")
    with pytest.raises(UserError, match=r"holds index\.html of something else"):
        report_folder(here / "site", "study", [])
    (here / "site" / MARK).write_text("{")
    with pytest.raises(UserError, match="damaged"):
        report_folder(here / "site", "study", [])


@pytest.mark.parametrize(("name", "is_taken"), [("study", True), ("other", False)])
def test_a_report_from_before_marks_is_its_studys_by_the_name_in_its_summary(here, name, is_taken):
    (here / "report" / "study").mkdir(parents=True)
    (here / "report" / "study" / "summary.json").write_text(json.dumps({"study": name}))
    expected = "report/study" if is_taken else "report/study-2"
    assert report_folder(None, "study", []).as_posix() == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("..", "study"), ("a/b: c", "a-b-c"), ("наука", "наука"), ("x" * 300, "x" * 100)]
)
def test_any_name_makes_a_folder_within_report(here, name, expected):
    assert report_folder(None, name, []).as_posix() == f"report/{expected}"
