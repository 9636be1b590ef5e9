import json

from tests.commands.called import call
from tests.evaluation.harness.test_samples import sample, write_run


def printed(capsys, *arguments):
    capsys.readouterr()
    assert call(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_prints_the_summary_that_it_writes(finished_study, tmp_path, capsys):
    path, store = finished_study
    found = printed(capsys, "run", path, "--store", store, "--report", tmp_path / "report")
    assert found == json.loads((tmp_path / "report" / "summary.json").read_text())
    assert [verdict["variant"] for verdict in found["verdicts"]]


def test_an_import_prints_the_summary_that_it_writes(tmp_path, capsys):
    rows = {"t": [sample(str(index), acc=float(index % 2)) for index in range(12)]}
    folders = [write_run(tmp_path / name, rows) for name in ("one", "two")]
    found = printed(capsys, "import", "lm-eval", *folders, "--report", tmp_path / "report")
    assert [verdict["variant"] for verdict in found["verdicts"]] == ["two"]


def test_a_task_and_a_model_are_shown_as_json(made_study_file, capsys):
    suite = made_study_file.parent / "made.yaml"
    task = printed(capsys, "tasks", "show", "first", "--suite", suite)
    assert task["rows"] == {
        "train": 44,
        "demonstrations": 4,
        "test": 12,
        "dropped": {},
        "account": task["rows"]["account"],
    }
    assert task["rows"]["account"] == {"read": 60, "contradicting": 0, "not asked for": 0}
    assert task["prompt"].endswith("Mood:")
    assert task["target"] in ("up", "down")
    model = printed(capsys, "models", "show", made_study_file.parent / "model")
    assert (model["name"], model["context_length"]) == ("model", 512)
