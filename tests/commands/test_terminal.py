import io
import json
import os
import re
import subprocess
import sys

import pytest
from rich.console import Console
from rich.text import Text

from spillover.commands.terminal import hanging
from spillover.report.place import MARK
from spillover.report.text import LIGHT_WIDTH
from tests.commands.called import call


def program(*arguments, **environment):
    command = [sys.executable, "-m", "spillover", *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)


def test_the_report_as_text_fits_the_width_has_the_verdicts_last_and_writes_nothing(finished_study, tmp_path):
    path, store = finished_study
    options = ["report", path, "--store", store, "--report", tmp_path / "none", "--text"]
    for width in (72, 200):
        lines = program(*options, COLUMNS=str(width)).stdout.splitlines()
        assert max(map(len, lines)) <= width
    assert any("sft/first/16/0" in line and "fticl/first/16/0" in line for line in lines)  # side by side where it fits
    assert "fticl/first/16/0: in-domain" in "\n".join(lines[-6:])
    assert not (tmp_path / "none").exists()


def test_colours_are_left_out_with_no_color_and_on_a_redirected_stream(finished_study):
    path, store = finished_study
    options = ["diff", path, "base", "sft", "--store", store]
    colour = re.compile("\x1b\\[[0-9;]*3[0-7]m")
    assert colour.search(program(*options, FORCE_COLOR="1", TERM="xterm-256color").stdout)
    assert not colour.search(program(*options, FORCE_COLOR="1", NO_COLOR="1", TERM="xterm-256color").stdout)
    assert "\x1b" not in program(*options).stdout


def test_plan_status_and_report_are_json_for_programs(finished_study, tmp_path, capsys):
    path, store = finished_study

    def printed(*arguments):
        capsys.readouterr()
        assert call(*arguments, path, "--store", store, "--json") == 0
        return json.loads(capsys.readouterr().out)

    assert all(step["done"] for step in printed("plan", "--no-calibration")["steps"])
    assert printed("status")["steps"]["finetune"] == {"done": 3, "to_do": 0}
    assert len(printed("report")["verdicts"]) == 3


def test_models_suites_and_tasks_are_json_for_programs(capsys):
    def printed(*arguments):
        capsys.readouterr()
        assert call(*arguments, "--json") == 0
        return json.loads(capsys.readouterr().out)

    assert "smollm2-135m-instruct" in [model["name"] for model in printed("models", "list")]
    assert {"pocket", "genpower"} <= {suite["name"] for suite in printed("suites", "list")}
    (task,) = [task for task in printed("tasks", "list", "genpower") if task["name"] == "amazon"]
    assert task["family"] == "sentiment"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_offered_the_commands(shell):
    words = {"_TYPER_COMPLETE_ARGS": "spillover di", "COMP_WORDS": "spillover di", "COMP_CWORD": "1"}
    code = "import sys; sys.argv = ['spillover']; from spillover.cli import app; app(prog_name='spillover')"
    action = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    environment = {**os.environ, **words, **action, "_SPILLOVER_COMPLETE": f"complete_{shell}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "diff" in done.stdout
    assert "show" not in done.stdout


def test_cells_and_variants_are_completed_from_the_study_and_its_store(finished_study):
    path, store = finished_study

    def completed(words):
        code = "import sys; sys.argv = ['spillover']; from spillover.cli import app; app(prog_name='spillover')"
        environment = {"_TYPER_COMPLETE_ARGS": words, "_SPILLOVER_COMPLETE": "complete_zsh"}
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
        return done.stdout.replace("\\", "")

    assert "sft/words/16/0:second:2" in completed(f"spillover show --store {store} {path} sft/words")
    assert "fticl/first/16/0" in completed(f"spillover diff --store {store} {path} base fti")
    assert "sft" not in completed(f"spillover show --store {store}-not-there {path} sft/words")


def test_formats_are_written_alone_where_they_are_named(finished_study, tmp_path, capsys):
    path, store = finished_study
    options = ["report", path, "--store", store, "--report", tmp_path / "report"]
    assert call(*options, "--format", "latex", "--format", "csv") == 0
    names = sorted(entry.name for entry in (tmp_path / "report").iterdir())
    assert names == [MARK, "measurements.csv", "report.tex", "study.yaml"]
    assert "report.tex" in capsys.readouterr().out
    assert call(*options, "--format", "csv", "--json") == 2
    assert "report takes one of --text, --json and --format" in capsys.readouterr().err


def test_verdicts_hang_behind_their_light_at_any_width():
    console = Console(width=40, file=io.StringIO())
    text = Text(
        "study: differences\n  ✗ loses    sft: one two three four five six seven eight nine ten\n  ✓ keeps    short"
    )
    lines = hanging(text, LIGHT_WIDTH, console).plain.splitlines()
    assert lines[:2] == ["study: differences", "  ✗ loses    sft: one two three four"]
    assert lines[2] == " " * 13 + "five six seven eight nine"
    assert lines[3:] == [" " * 13 + "ten", "  ✓ keeps    short"]
