import errno
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass

import pytest

from spillover.errors import UserError
from spillover.store.store import Store, StoreError


@dataclass(frozen=True)
class Kept:
    """A step as the store sees it."""

    kind: str
    key: str

    def fields(self):
        return {"shots": 2}


STEP = Kept("predict", "k")


def fill_with(text):
    def fill(folder):
        (folder / "deep").mkdir()
        (folder / "deep" / "result.txt").write_text(text)
        return {"duration_seconds": 1.0}

    return fill


def test_a_finished_step_is_read_back_with_its_fields_and_provenance(tmp_path):
    store = Store(tmp_path)
    assert not store.has(STEP)
    store.write(STEP, fill_with("one"))
    assert store.has(STEP)
    assert store.file(STEP, "deep/result.txt").read_text() == "one"
    manifest = store.manifest(STEP)
    assert manifest["fields"] == {"shots": 2}
    assert manifest["provenance"] == {"duration_seconds": 1.0}


def test_a_finished_step_is_not_computed_again(tmp_path):
    store = Store(tmp_path)
    store.write(STEP, fill_with("one"))
    store.write(STEP, fill_with("two"))
    assert store.file(STEP, "deep/result.txt").read_text() == "one"


def test_a_step_that_fails_does_not_exist_and_leaves_nothing(tmp_path):
    def fails(folder):
        (folder / "half").write_text("x")
        raise RuntimeError("no")

    store = Store(tmp_path)
    with pytest.raises(RuntimeError):
        store.write(STEP, fails)
    assert not store.has(STEP)
    assert not any((tmp_path / "unfinished").iterdir())


def test_a_changed_file_is_named_with_what_to_do(tmp_path):
    store = Store(tmp_path)
    store.write(STEP, fill_with("one"))
    (store.folder(STEP) / "deep" / "result.txt").write_text("two")
    with pytest.raises(UserError, match=r"result\.txt has the digest .* damaged; `spillover run` computes"):
        store.file(STEP, "deep/result.txt")


def test_a_missing_file_is_named_with_what_to_do(tmp_path):
    store = Store(tmp_path)
    store.write(STEP, fill_with("one"))
    (store.folder(STEP) / "deep" / "result.txt").unlink()
    with pytest.raises(UserError, match=r"result\.txt is missing from a finished step; `spillover run` computes"):
        store.file(STEP, "deep/result.txt")


def test_a_full_disk_is_one_line(tmp_path):
    def full(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match=r"no room left on the disk of .*free some space or choose another folder"):
        Store(tmp_path).write(STEP, full)


def test_a_store_that_cannot_be_written_is_one_line(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="cannot write to the store"):
        Store(blocked).write(STEP, fill_with("one"))


def test_what_a_killed_process_left_behind_is_removed_and_computed_again(tmp_path):
    code = f"""
        import os, signal
        from pathlib import Path
        from spillover.store.store import Store
        from tests.store.test_store import STEP
        def die(folder):
            (folder / "result.txt").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        Store(Path({str(tmp_path)!r})).write(STEP, die)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "unfinished" / "k" / "result.txt").exists()
    store = Store(tmp_path)
    assert not store.has(STEP)
    store.write(STEP, fill_with("whole"))
    assert store.file(STEP, "deep/result.txt").read_text() == "whole"
    assert not (store.folder(STEP) / "result.txt").exists()


def test_two_processes_that_share_a_store_compute_a_step_once(tmp_path):
    code = f"""
        import time
        from pathlib import Path
        from spillover.store.store import Store
        from tests.store.test_store import STEP
        def slow(folder):
            time.sleep(0.3)
            with (Path({str(tmp_path)!r}) / "log").open("a") as log:
                log.write("computed\\n")
            return {{}}
        Store(Path({str(tmp_path)!r}) / "store").write(STEP, slow)
    """
    both = [subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert (tmp_path / "log").read_text() == "computed\n"


@pytest.mark.parametrize("make", ["symlink_to", "hardlink_to"])
def test_a_lock_that_leads_elsewhere_changes_nothing_there(tmp_path, make):
    elsewhere = tmp_path / "letter"
    elsewhere.write_text("dear")
    (tmp_path / "store" / "locks").mkdir(parents=True)
    getattr(tmp_path / "store" / "locks" / STEP.key, make)(elsewhere)
    if make == "symlink_to":
        with pytest.raises(StoreError, match="cannot write to the store"):
            Store(tmp_path / "store").write(STEP, fill_with("one"))
    else:
        assert Store(tmp_path / "store").write(STEP, fill_with("one"))
    assert elsewhere.read_text() == "dear"


def test_locks_that_lie_in_another_folder_are_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "locks").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="locks is a link, what it leads to is not the store's"):
        Store(tmp_path / "store").write(STEP, fill_with("one"))
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_every_file_of_a_step_may_be_read_by_whoever_may_read_its_manifest(tmp_path):
    def fill(folder):
        (folder / "weights").write_text("w")
        (folder / "weights").chmod(0o600)
        return {}

    store = Store(tmp_path)
    store.write(STEP, fill)
    modes = {path.name: path.stat().st_mode for path in store.folder(STEP).iterdir()}
    assert modes["weights"] == modes["manifest.json"]
