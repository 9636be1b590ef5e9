"""Every error that the page on errors names is provoked through the command line, and printed in the page's words."""

import json
import re
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import yaml

from spillover.cli import main
from tests.stand_in import BASE, make_folder, shrunk
from tests.test_docs import DOCS

STUDY = {
    "base": BASE,
    "suite": "pocket",
    "variants": [{"name": "sft", "train_on": ["siqa", "amazon"], "sizes": [8]}],
    "test_on": ["amazon", "tweets"],
    "shots": [0],
}
CHECK = ("lint", "study.yaml")


def write_study(**changed):
    Path("study.yaml").write_text(yaml.safe_dump(shrunk({**STUDY, **changed}, Path())), encoding="utf-8")


def edit(file, old, new):
    path = Path(file)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def too_many_rows(monkeypatch):
    edit("study.yaml", "- 8", "- 800")
    return ("plan", "study.yaml", "--no-calibration")


def unknown_task(monkeypatch):
    edit("study.yaml", "- tweets", "- twets")
    return CHECK


def second_init(monkeypatch):
    return ("init", "--train", "reviews.csv", "--base", "./base")


def no_end_token(monkeypatch):
    path = Path("base/tokenizer_config.json")
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**settings, "eos_token": None}), encoding="utf-8")
    return CHECK


def pickled_weights(monkeypatch):
    Path("base/model.safetensors").rename("base/pytorch_model.bin")
    return ("run", "study.yaml")


def cut_off(monkeypatch):
    Path("archives").mkdir()
    Path("archives/vaderSentiment-3.3.2.tar.gz").write_bytes(b"cut off")
    monkeypatch.setenv("SPILLOVER_CACHE", str(Path("cache").absolute()))
    return ("tasks", "show", "tweets", "--suite", "pocket", "--from", "archives")


def full_disk(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("Usage", "total used free")(1000, 1000, 0))
    return ("run", "study.yaml")


def not_finished(monkeypatch):
    return ("export", "study.yaml", "sft/siqa", "--to", "kept")


def of_several(monkeypatch):
    return ("export", "study.yaml", "sft", "--to", "kept")


def in_the_other_order(monkeypatch):
    return ("export", "sft", "study.yaml", "--to", "kept")


def no_target(monkeypatch):
    edit("reviews.csv", "positive", "")
    return ("init", "--train", "reviews.csv", "--base", "./base", "--out", "mine.yaml")


def other_encoding(monkeypatch):
    path = Path("reviews.csv")
    path.write_bytes(path.read_text(encoding="utf-8").replace("good", "gré").encode("latin-1"))
    return ("init", "--train", "reviews.csv", "--base", "./base", "--out", "mine.yaml")


PROVOKED = {
    "training rows asked for; it has": too_many_rows,
    "did you mean": unknown_task,
    "is there already; name another file with --out": second_init,
    "the tokenizer has no end token": no_end_token,
    "no model.safetensors": pickled_weights,
    "expected SHA-256": cut_off,
    "GB for weights, its disk has": full_disk,
    "is not finished in": not_finished,
    "variants are named": of_several,
    "the study comes first": in_the_other_order,
    "rows have no target in column": no_target,
    "is not UTF-8; save the file as UTF-8": other_encoding,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("errors")
    make_folder(folder)
    return folder


def test_the_page_names_what_is_provoked_here():
    named = re.findall(r"^\| `([^`]+)` \|", (DOCS / "faq.md").read_text(encoding="utf-8"), flags=re.M)
    assert named == list(PROVOKED)


@pytest.mark.parametrize("message", PROVOKED)
def test_an_error_of_the_page_is_printed_as_the_page_says(prepared, tmp_path, monkeypatch, capsys, message):
    monkeypatch.chdir(shutil.copytree(prepared, tmp_path / "folder"))
    write_study()
    command = PROVOKED[message](monkeypatch)
    with pytest.raises(SystemExit) as stopped:
        main(list(command))
    said = capsys.readouterr()
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert (stopped.value.code, len(errors)) == (2, 1), said.err
    assert message in errors[0]


@pytest.mark.parametrize(
    "words",
    [
        ("show", "sft/siqa", "study.yaml"),
        ("diff", "sft", "study.yaml", "lora"),
        ("export", "sft", "study.yaml", "--to", "x"),
    ],
)
def test_every_command_says_that_the_study_comes_first(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(list(words))
    assert f"error: {words[1]}: no study file; the study comes first" in capsys.readouterr().err
