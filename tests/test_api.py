import json
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

import spillover
from spillover.api import Results
from spillover.records import BASE
from tests.report.made_results import made_results

RESULTS = Results(made_results())


class Tags(HTMLParser):
    """Which tags a page has, and the text between them."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = set(), ""

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text += data


def read(html):
    tags = Tags()
    tags.feed(html)
    return tags


def test_a_study_runs_from_python_to_tables_that_the_command_line_agrees_with(finished_study, tmp_path):
    path, store = finished_study
    study = spillover.load_study(path, cache=path.parent / "cache")
    results = spillover.run(study, store=store)
    assert results.failed == ()
    assert results.variants == ("sft/first/16/0", "sft/words/16/0", "fticl/first/16/0")
    table = results.measurements
    assert len(table) == len(results.analysis.measurements)
    base = table[(table.variant == BASE) & (table.metric == "accuracy")]
    assert set(base.tested_on) == {"first", "second"}
    assert (base.difference == 0).all()
    page = results.report(tmp_path / "report", formats=["json", "html"])
    assert page == tmp_path / "report" / "index.html"
    summary = json.loads((tmp_path / "report" / "summary.json").read_text(encoding="utf-8"))
    assert [verdict["sentence"] for verdict in summary["verdicts"]] == [item.sentence for item in results.verdicts]


def test_what_was_damaged_is_said_and_computed_again_from_python(finished_study, tmp_path, capsys):
    path, store = finished_study
    study = spillover.load_study(path, cache=path.parent / "cache")
    shutil.copytree(store, tmp_path / "store")
    damaged = min((tmp_path / "store" / "score").glob("*/statistics.json"))
    damaged.write_text("{}", encoding="utf-8")
    results = spillover.run(study, store=tmp_path / "store", threads=1)
    assert "damaged: score " in capsys.readouterr().err
    assert results.measurements.equals(spillover.load_results(study, store=store).measurements)
    spillover.run(study, store=tmp_path / "store")
    assert "nothing to do" in capsys.readouterr().err


def test_python_refuses_what_the_command_line_refuses_before_anything_is_computed(faulty, tmp_path, capsys):
    study = spillover.load_study(faulty)
    store = tmp_path / "store"
    with pytest.raises(spillover.UserError, match="the tokens of the answer 'up' begin those of 'upset'"):
        spillover.run(study, store=store, threads=1)
    assert "warning: in-domain: 10 items show a difference only from" in capsys.readouterr().err
    with pytest.raises(spillover.UserError, match="--budget drops arms of a `mix`; this study has none"):
        spillover.run(study, store=store, threads=1, lint=False, budget="1h")
    with pytest.raises(spillover.UserError, match="--budget is 'soon'; expected a time such as 2h"):
        spillover.run(study, store=store, budget="soon")
    with pytest.raises(spillover.UserError, match="unknown tracker 'tensorbord'; did you mean 'tensorboard'"):
        spillover.run(study, store=store, track="tensorbord")
    assert not store.exists()


def test_recipes_are_compared_in_tables():
    found = RESULTS.compare("sft", "fticl")
    assert set(found.cells.tested_on) == {task.name for task in RESULTS.records.tasks}
    row = found.cells.iloc[0]
    assert row.difference == pytest.approx(row.second_value - row.first_value)
    assert list(found.relations.relation) == ["in-domain", "out-of-domain", "cross-task"]
    assert set(RESULTS.relations.variant) == set(RESULTS.variants)


def test_a_notebook_shows_verdicts_and_comparisons():
    shown = read(RESULTS._repr_html_())
    assert all(verdict.sentence in shown.text for verdict in RESULTS.verdicts)
    assert "fticl/siqa/128/0" in read(RESULTS.compare("sft", "fticl")._repr_html_()).text


def test_a_prompt_shows_verdicts_and_means_and_no_records():
    failed = replace(RESULTS, failed=("fine-tune x: no memory",))
    lines = repr(failed).splitlines()
    evidence = sum(len(verdict.evidence) for verdict in RESULTS.verdicts)
    assert len(lines) == len(RESULTS.verdicts) + evidence + 2
    assert RESULTS.verdicts[0].sentence in lines[1]
    assert lines[-1] == "  failed: fine-tune x: no memory"
    means = repr(RESULTS.compare("sft", "fticl")).splitlines()
    assert means[0] == "fticl less sft, 95% intervals"
    assert len(means) == 1 + len(RESULTS.compare("sft", "fticl").relations)


def test_a_notebook_shows_hostile_text_as_text():
    hostile = Results(made_results("<script>alert(1)</script>\u202e"), failed=("<img src=x onerror=alert(1)>",))
    for html in (
        hostile._repr_html_(),
        hostile.verdicts._repr_html_(),
        hostile.compare(BASE, hostile.variants[0])._repr_html_(),
    ):
        assert read(html).tags <= {"p", "b", "table", "thead", "tbody", "tr", "th", "td"}
        assert "\u202e" not in html


def test_an_unknown_format_or_a_missing_library_is_one_line(monkeypatch, tmp_path):
    with pytest.raises(spillover.UserError, match="unknown format 'htm'; did you mean 'html'"):
        RESULTS.report(tmp_path, formats=["htm"])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(spillover.UserError, match=r"tables need pandas.*pip install 'spillover\[notebook\]'"):
        _ = RESULTS.measurements


def test_results_of_an_empty_store_say_how_to_get_them(finished_study, tmp_path):
    path, _ = finished_study
    study = spillover.load_study(path, cache=path.parent / "cache")
    with pytest.raises(spillover.UserError, match=r"has no complete base scores in .*; start it with: spillover.run"):
        spillover.load_results(study, store=tmp_path)


def test_importing_the_package_loads_nothing_and_lists_its_names():
    code = "import sys, spillover; print(sorted(m for m in sys.modules if m.startswith('spillover.')), dir(spillover))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[] ")
    assert all(name in done.stdout for name in ("load_study", "run", "Results"))
    assert all(getattr(spillover, name) is not None for name in spillover.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lod_study'"):
        _ = spillover.lod_study
