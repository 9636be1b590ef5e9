import json
import shutil

import pytest

from spillover.models.adapters import add_adapter
from spillover.models.load import load_model
from spillover.report.place import MARK
from tests.study.made_study import make_study
from tests.test_cli import call


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A base, a suite and an adapter with a random update."""
    folder = make_study(tmp_path_factory.mktemp("made")).parent
    model = load_model(folder / "model", dtype="float32", device="cpu")
    options = {"r": 2, "target_modules": ["q_proj"], "init_lora_weights": False}
    add_adapter(model, options, seed=0).save(folder / "mine", base_name="model")
    return folder


def options(made, *more, **changes):
    given = {"base": made / "model", "adapter": made / "mine", "suite": made / "made.yaml", "shots": "0,2"}
    given |= {"test-limit": 5, "precision": "float32", "threads": 1} | changes
    return [word for name, value in given.items() if value is not None for word in (f"--{name}", value)] + list(more)


def test_an_adapter_is_measured_against_its_base_and_again_at_no_cost(made, tmp_path, capsys):
    places = {"store": tmp_path / "store", "report": tmp_path / "report"}
    assert call("evaluate", *options(made, tasks="first, words", **{"trained-on": "first"}, **places)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    (verdict,) = summary["verdicts"]
    assert verdict["variant"] == "mine/first"
    assert " ".join(verdict["sentence"].split()) in printed
    rows = (tmp_path / "report" / "measurements.csv").read_text()
    assert "in-domain" in rows
    assert "cross-task" in rows
    assert "spillover evaluate --base" in (tmp_path / "report" / "index.html").read_text()
    capsys.readouterr()
    assert call("evaluate", *options(made, tasks="first,words", **{"trained-on": "first"}, **places), "--json") == 0
    printed = capsys.readouterr()
    assert "nothing to do" in printed.err
    assert json.loads(printed.out) == json.loads((tmp_path / "report" / "summary.json").read_text())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adapter": None}, "evaluate needs --adapter or --model, one of the two"),
        ({"model": "x"}, "evaluate needs --adapter or --model, one of the two"),
        ({"shots": "many"}, "--shots is 'many'; expected counts such as 0,2,4"),
        ({"tasks": "frist"}, "unknown task of suite 'made' 'frist'; did you mean 'first'?"),
        ({"trained-on": "frist"}, "unknown task or family of suite 'made' 'frist'; did you mean 'first'?"),
        ({"precision": "int4"}, "precision is 'int4'"),
        ({"adapter": None, "model": "./nowhere"}, "no such folder"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(made, tmp_path, capsys, changes, message):
    places = {"store": tmp_path / "store", "report": tmp_path / "report"}
    assert call("evaluate", *options(made, **changes, **places)) == 2
    error = capsys.readouterr().err
    assert message in " ".join(error.split())
    assert error.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_without_a_stated_training_task_no_relation_is_claimed(made, tmp_path, monkeypatch, capsys):
    shutil.copytree(made / "mine", tmp_path / "my adapter")
    monkeypatch.chdir(tmp_path)
    assert call("evaluate", *options(made, tasks="first", adapter=tmp_path / "my adapter")) == 0
    assert "report: report/my-adapter/index.html" in capsys.readouterr().out
    rows = (tmp_path / "report" / "my-adapter" / "measurements.csv").read_text()
    assert "unstated" in rows
    assert "my-adapter" in rows
    assert "in-domain" not in rows
    assert "cross-task" not in rows
    summary = json.loads((tmp_path / "report" / "my-adapter" / "summary.json").read_text())
    assert summary["study"] == "my-adapter"
    assert "best_of_shots_optimistic" in summary
    assert "claims" not in summary  # they are of fine-tuning as the paper did it


def test_the_same_adapter_on_another_base_does_not_take_the_place_of_the_first_report(made, tmp_path, capsys):
    """Nothing is computed for a folder that is refused."""
    report = tmp_path / "report"
    report.mkdir()
    origin = ["mine", "evaluate", "another", "../mine", "made"]
    (report / MARK).write_text(json.dumps(origin))
    places = {"store": tmp_path / "store", "report": report}
    assert call("evaluate", *options(made, tasks="first", **places)) == 2
    assert "holds the report of another study, 'mine', which would be overwritten" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_a_classifiers_predictions_are_measured_alone_and_beside_a_fine_tune(made, tmp_path):
    rows = [json.loads(line) for line in (made / "first.jsonl").read_text().splitlines()]
    lines = [f"{row['text']},{row['answer']}" for row in rows]
    (tmp_path / "ours.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    stated = {"tasks": "first,words", "trained-on": "first", "store": tmp_path / "store"}
    for place, changes in (("alone", {"adapter": None}), ("report", {})):
        places = {"report": tmp_path / place, "predictions": tmp_path / "ours.csv"}
        assert call("evaluate", *options(made, **stated, **places, **changes)) == 0
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert {verdict["variant"] for verdict in summary["verdicts"]} == {"mine/first", "ours/first"}
    table = (tmp_path / "report" / "measurements.csv").read_text().splitlines()
    names = table[0].split(",")
    own = [dict(zip(names, row.split(","), strict=False)) for row in table if row.startswith("ours/first")]
    accuracy = [row for row in own if row["metric"] == "accuracy"]
    assert {(row["tested_on"], float(row["value"])) for row in accuracy} == {("first", 1.0)}
