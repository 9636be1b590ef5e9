"""Text from data that would steer a terminal or a spreadsheet, through every command that prints it."""

import csv
import io
import json
from argparse import Namespace
from dataclasses import fields, replace
from pathlib import Path

import pytest

from spillover.records import Measurement
from spillover.report.write import measurements_csv
from tests.commands.called import call
from tests.study.made_study import make_model

STEERING = set("\x1b\x07\x9b\u202e\u2066\u200b")
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202etxet\u2066\x9b31m\u200b"


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_model(tmp_path / "model")
    lines = [
        {f"text{HOSTILE}": f"row {n} says {HOSTILE}", "label": ("good", f"bad{HOSTILE}")[n % 2], "other": HOSTILE}
        for n in range(80)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return tmp_path


def clean(capsys):
    out, err = capsys.readouterr()
    assert not STEERING & set(out + err)
    return out + err


def test_no_command_lets_data_steer_the_terminal(rows, capsys):
    capsys.readouterr()
    assert call("init", "--train", "rows.jsonl", "--base", "./model") == 0
    assert "‹U+001B›[2J" in clean(capsys)
    assert call("tasks", "show", "rows", "--suite", "suite.yaml") == 0
    assert "‹U+202E›txet" in clean(capsys)
    assert call("tasks", "show", "rows", "--suite", "suite.yaml", "--json") == 0
    assert "\\u202etxet" in clean(capsys)
    text = Path("study.yaml").read_text(encoding="utf-8").splitlines()
    Path("study.yaml").write_text("\n".join(line for line in text if "pocket" not in line), encoding="utf-8")
    for command in (["lint"], ["plan", "--no-calibration"], ["status"]):
        call(*command, "study.yaml")
        assert clean(capsys)


@pytest.mark.parametrize(
    "command", [["init", "--train"], ["lint"], ["plan"], ["run"], ["tasks", "show", "x", "--suite"]]
)
def test_no_error_lets_names_and_data_steer_the_terminal(rows, capsys, command):
    name = f"a{HOSTILE}.yaml" if command[0] != "init" else f"a{HOSTILE}.jsonl"
    Path(name).write_text(json.dumps({HOSTILE: {"x": HOSTILE}}), encoding="utf-8")
    capsys.readouterr()
    assert call(*command, name) == 2
    said = clean(capsys)
    assert said.startswith("error: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        [HOSTILE],
        ["run", "study.yaml", f"--{HOSTILE}"],
        ["run", "study.yaml", f"--threads={HOSTILE}"],
        ["run", "a", HOSTILE],
    ],
    ids=["command", "option", "value", "argument"],
)
def test_no_word_of_a_command_line_steers_the_terminal(rows, capsys, words):
    capsys.readouterr()
    assert call(*words) == 2
    said = clean(capsys)
    assert said.startswith("error: ")
    assert "--help" in said
    assert said.count("\n") == 1


def test_credentials_of_an_address_are_never_printed(rows, capsys, monkeypatch):
    Path("suite.yaml").write_text(
        "base_url: http://someone:secret@127.0.0.1:9/files\n"
        "families: {f: {prompts: {1: 'a {text}'}}}\n"
        "tasks: {t: {family: f, sources: {pool: {folder: rows.jsonl, sha256: '" + "0" * 64 + "'}}, "
        "columns: {text: text}, target: label}}\n"
    )
    capsys.readouterr()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert call("tasks", "show", "t", "--suite", "suite.yaml") == 2
    said = clean(capsys)
    assert "secret" not in said
    assert "http://127.0.0.1:9/files/rows.jsonl" in said


def test_a_spreadsheet_runs_no_name_of_the_measurements():
    row = Measurement(*[None for _ in fields(Measurement)])
    names = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "plain-name"]
    made = Namespace(measurements=[replace(row, variant=name, difference=-0.5) for name in names])
    read = list(csv.DictReader(io.StringIO(measurements_csv(made))))
    assert [line["variant"] for line in read] == ["'=1+1", "'+1", "'-1", "'@SUM(1)", "'\t=1", "plain-name"]
    assert {line["difference"] for line in read} == {"-0.5"}  # a number stays one
