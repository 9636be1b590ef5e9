"""What a machine, its environment or a place to write in cannot serve is one line, and leaves nothing half done."""

import errno
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from spillover.api import chosen_device
from spillover.artifacts.cache import whole_file
from spillover.artifacts.download import download
from spillover.artifacts.indexes import PackageIndexes
from spillover.config import load_study
from spillover.errors import UserError
from spillover.settings import parse_settings
from spillover.store.store import Store
from spillover.study.export import export
from spillover.study.study_file import StudyFile
from spillover.training.processes import require_launched
from tests.artifacts.archives import made_artifact, served

LAUNCHED = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}


@pytest.mark.parametrize("name", ["xpu", "cuda:99", "meta", "tpu", "", "cpu:x"])
def test_a_device_that_is_not_here_is_one_line(name):
    with pytest.raises(UserError, match=r"device '.*' cannot be used here \(.+\); expected auto, cpu, cuda") as raised:
        chosen_device(name, None)
    assert "\n" not in str(raised.value)


def test_a_device_that_is_here_is_taken_with_threads_in_range():
    assert chosen_device("cpu", torch.get_num_threads()) == "cpu"
    for count in (0, -1, 10**9):
        with pytest.raises(UserError, match=r"threads is -?\d+; expected 1 to 1024"):
            chosen_device("cpu", count)


@pytest.mark.parametrize("name", ["seeds", "demonstration_seeds"])
def test_a_seed_that_torch_cannot_take_is_refused(name):
    study = {"base": "a", "suite": "b", "variants": [{"name": "x", "train_on": "y", "sizes": [1]}]}
    assert parse_settings(StudyFile, {**study, name: 2**63 - 1}, where="study")
    with pytest.raises(UserError, match=f"{name}.* should be less than"):
        parse_settings(StudyFile, {**study, name: 2**63}, where="study")


@pytest.mark.parametrize(
    "change", [{"WORLD_SIZE": "abc"}, {"WORLD_SIZE": "-2"}, {"RANK": ""}, {"MASTER_ADDR": ""}, {"RANK": "2"}]
)
def test_processes_that_no_launcher_started_are_refused_before_they_wait(change):
    require_launched(LAUNCHED)
    with pytest.raises(UserError, match="start several processes with accelerate launch, or unset WORLD_SIZE"):
        require_launched(LAUNCHED | change)


def test_an_interrupt_while_the_program_is_imported_is_one_line(tmp_path):
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root / 'src'}"}
    ended = subprocess.run(
        [sys.executable, "-m", "spillover", "--version"], env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == "interrupted; nothing was begun\n"
    starts = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert starts == {"spillover": "spillover.__main__:main"}


def test_a_cache_that_is_a_file_is_named_as_such(tmp_path):
    (tmp_path / "cache").write_text("")
    with (
        pytest.raises(UserError, match=r"the cache cannot be written: .*; mend that folder, or set SPILLOVER_CACHE"),
        whole_file(tmp_path / "cache" / "models" / "file"),
    ):
        pass


@pytest.mark.parametrize("content", [b"[]", b'{"meta": 5}', b'{"files": {"a": [1]}}', b"\xff", b"<html", b"{" * 9999])
def test_an_index_that_answers_nonsense_is_one_line(tmp_path, content):
    artifact = made_artifact(b"content")
    page = tmp_path / "simple" / artifact.name / "index.html"
    page.parent.mkdir(parents=True)
    page.write_bytes(content)
    with (
        served(tmp_path) as address,
        pytest.raises(UserError, match=r"could not be fetched \(.*\); check the network") as raised,
    ):
        download(artifact, tmp_path / "out", PackageIndexes(endpoints=(f"{address}/simple", "http://u:p@[::1")))
    assert "http://[::1 failed with" in str(raised.value)


def test_an_export_that_fails_leaves_nothing(finished_study, tmp_path, monkeypatch):
    path, root = finished_study
    study = load_study(path, cache=path.parent / "cache", notice=lambda line: None)
    name = study.models[0].variant
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written \(.*\); name another folder"):
        export(study, Store(root), name, tmp_path / "file" / "whole")

    def full(source, folder):
        Path(folder).mkdir()
        (Path(folder) / "half").write_text("")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(UserError, match="no room left on the disk"):
        export(study, Store(root), name, tmp_path / "whole")
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
    monkeypatch.undo()
    assert export(study, Store(root), name, tmp_path / "whole") == 0.0
    assert [found.name for found in tmp_path.iterdir() if found.is_dir()] == ["whole"]
