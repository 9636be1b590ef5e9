"""A file of a million rows goes from `init` to a plan in bounded time and memory."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.study.made_study import make_model

pytestmark = pytest.mark.long

ROWS = 1_000_000
MOST_CPU_SECONDS, MOST_BYTES = 60, 2 * 10**9
WORDS = ("good", "bad", "film", "plot", "actor", "story", "never", "always", "very", "really", "music", "book", "food")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("million")
    draw = random.Random(0)
    with (path / "reviews.csv").open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        for index in range(ROWS):
            file.write(f"{index} {' '.join(draw.choices(WORDS, k=8))},{'positive' if index % 2 else 'negative'}\n")
    make_model(path / "model")
    return path


def measured(folder: Path, *arguments: str) -> tuple[float, int, str]:
    """Return the processor seconds, the most bytes of memory and what was said of one command."""
    command = [sys.executable, "-m", "spillover", *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, said


def test_a_million_rows(folder):
    given = ("--train", "reviews.csv", "--input", "text", "--target", "label", "--base", "model", "--yes")
    bounded(folder, "reading reviews.csv", "init", *given)
    study = folder / "study.yaml"
    # Its own task alone: the tiny model's context is too short for other tasks.
    own = [line for line in study.read_text(encoding="utf-8").splitlines() if not line.endswith("of the pocket suite")]
    study.write_text("\n".join(own), encoding="utf-8")
    bounded(folder, "reading the rows of", "lint", "study.yaml")
    bounded(folder, "reading the rows of", "plan", "study.yaml", "--no-calibration")


def bounded(folder: Path, progress: str, *arguments: str) -> None:
    seconds, size, said = measured(folder, *arguments)
    print(f"{arguments[0]}: {seconds:.0f} CPU s, {size / 1e6:,.0f} MB")
    assert progress in said, said
    assert seconds < MOST_CPU_SECONDS
    assert size < MOST_BYTES
