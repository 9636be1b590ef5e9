import gc
import inspect
import json
import os
import re
import subprocess
import sys
import typing
from importlib.metadata import version

import pytest
import typer.main

from spillover import cli
from spillover.cli import main
from tests.study.made_study import make_study


def call(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code


def test_a_study_runs_to_a_report_whose_verdicts_the_terminal_prints_last(made_study_file, tmp_path, capsys):
    options = ["--store", tmp_path / "store", "--report", tmp_path / "report", "--threads", 1]
    assert call("run", made_study_file, *options) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"report: {tmp_path / 'report' / 'index.html'}".replace(" ", "") in printed.replace(" ", "")
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert "claims" in summary
    assert {verdict["variant"] for verdict in summary["verdicts"]} == {
        "sft/first/16/0",
        "sft/words/16/0",
        "fticl/first/16/0",
    }
    for verdict in summary["verdicts"]:
        assert " ".join(verdict["sentence"].split()) in printed
    for name in ("index.html", "report.md", "measurements.csv", "study.yaml"):
        assert (tmp_path / "report" / name).stat().st_size > 100

    assert call("run", made_study_file, *options) == 0
    assert "nothing to do" in capsys.readouterr().err
    another = made_study_file.with_name("another.yaml")
    another.write_text(made_study_file.read_text())
    for command in ("run", "report"):
        assert call(command, another, *options[: 4 if command == "report" else 6]) == 2
        assert "holds the report of another study, 'study'" in capsys.readouterr().err
    another.unlink()
    assert call("status", made_study_file, "--store", tmp_path / "store") == 0
    assert "finetune" in capsys.readouterr().out
    assert call("plan", made_study_file, "--store", tmp_path / "store") == 0
    assert "0 of 57 steps to do" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys):
    assert call("--version") == 0
    assert capsys.readouterr().out == f"spillover {version('spillover')}\n"


def test_a_users_mistake_is_one_line_and_exit_2_and_nothing_is_written(tmp_path, capsys):
    path = make_study(tmp_path / "study")
    path.write_text(path.read_text().replace("train_on: first", "train_on: frist"))
    capsys.readouterr()
    assert call("run", path, "--store", tmp_path / "store", "--report", tmp_path / "report") == 2
    error = capsys.readouterr().err
    assert error == "error: unknown task of suite 'made' 'frist'; did you mean 'first'?\n"
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "first.jsonl: the file holds no rows"),
        (b'{"text": "a"}\n', "first.jsonl.*answer"),
        (b'{"text": "a", "answer": ""}\n', "first.jsonl.*row 1.*target"),
        (b'{"text": "a", "answer": "sideways"}\n', "first.jsonl.*row 1.*'sideways'.*up, down"),
        (b'{"text": "\xff", "answer": "up"}\n', "first.jsonl.*UTF-8"),
        (b'{"text": ', "first.jsonl.*1"),
    ],
)
def test_broken_data_is_one_line_that_names_file_and_row(tmp_path, capsys, content, message):
    path = make_study(tmp_path / "study")
    path.with_name("first.jsonl").write_bytes(content)
    capsys.readouterr()
    assert call("run", path, "--store", tmp_path / "store", "--report", tmp_path / "report") == 2
    error = capsys.readouterr().err.rstrip("\n").replace("\n", "\\n")
    assert re.search(message, error), error
    assert "\\n" not in error
    assert not (tmp_path / "store").exists()


def test_a_report_without_results_says_how_to_get_them(made_study_file, tmp_path, capsys):
    assert call("report", made_study_file, "--store", tmp_path / "none") == 2
    assert "start it with: spillover run" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "then"), [(None, "1"), ("3", "3")])
def test_a_report_takes_one_thread_for_its_products_unless_told_otherwise(
    made_study_file, tmp_path, monkeypatch, given, then
):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", given or "")
    if given is None:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    assert call("report", made_study_file, "--store", tmp_path / "none") == 2
    assert os.environ["OPENBLAS_NUM_THREADS"] == then
    assert gc.isenabled()


def test_suites_and_tasks_are_listed(capsys):
    assert call("suites", "list") == 0
    listed = capsys.readouterr().out
    assert "pocket" in listed
    assert "genpower" in listed
    assert call("tasks", "list", "genpower") == 0
    assert "socialqa" in capsys.readouterr().out
    assert call("tasks", "list", "--suite", "finance") == 0
    assert "convfinqa" in capsys.readouterr().out
    assert call("models", "list") == 0
    assert "smollm2-135m-instruct" in capsys.readouterr().out


def test_help_starts_without_the_heavy_libraries():
    code = (
        "import sys, spillover.cli as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'pydantic', 'numpy', 'altair', 'scipy'} & set(sys.modules)))"
    )
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def commands_of(command, words=()):
    """Yield every command with its words."""
    if not hasattr(command, "commands"):
        yield words, command
        return
    for name, inner in command.commands.items():
        yield from commands_of(inner, (*words, name))


def takes_path(command, parameter):
    hints = typing.get_type_hints(inspect.unwrap(command.callback))
    return "pathlib.Path" in str(hints.get(parameter.name))


PATHS = [
    pytest.param(words, command, parameter, id=" ".join([*words, parameter.opts[0]]))
    for words, command in commands_of(typer.main.get_command(cli.app))
    for parameter in command.params
    if takes_path(command, parameter)
]


def test_every_command_on_a_study_has_paths_that_are_tried():
    assert len(PATHS) > 40
    found = {parameter.opts[0] for _, _, parameter in (case.values for case in PATHS)}
    assert found >= {"study_file", "--store", "--report", "--from", "--train", "--also", "--out", "--trust-task-code"}


@pytest.mark.parametrize(("words", "command", "parameter"), PATHS)
def test_the_home_is_meant_by_a_tilde_in_every_path(monkeypatch, tmp_path, words, command, parameter):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    given = []
    monkeypatch.setattr(cli, "app", lambda args, **_: given.append(args))
    option = parameter.opts[0]
    is_option = option.startswith("-")
    forms = [[option, "~/x"], [f"{option}=~/x"]] if is_option else [["~/x"] * len(command.params)]
    for form in forms:
        with pytest.raises(SystemExit):
            main([*words, *form])
        context = command.make_context(
            words[-1], given.pop()[len(words) :], resilient_parsing=True, allow_extra_args=True
        )
        found = context.params[parameter.name]
        for path in found if isinstance(found, list | tuple) else [found]:
            assert str(path) == str(tmp_path / "x"), form
