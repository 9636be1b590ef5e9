import errno
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from spillover.errors import UserError
from spillover.store.store import Store


def fill_with(text):
    def fill(folder):
        (folder / "deep").mkdir()
        (folder / "deep" / "result.txt").write_text(text)
        return {"duration_seconds": 1.0}

    return fill


def test_a_finished_step_is_read_back_with_its_fields_and_provenance(tmp_path):
    store = Store(tmp_path)
    assert not store.has("predict", "k")
    store.write("predict", "k", fill_with("one"), fields={"shots": 2})
    assert store.has("predict", "k")
    assert store.file("predict", "k", "deep/result.txt").read_text() == "one"
    manifest = store.manifest("predict", "k")
    assert manifest["fields"] == {"shots": 2}
    assert manifest["provenance"] == {"duration_seconds": 1.0}


def test_a_finished_step_is_not_computed_again(tmp_path):
    store = Store(tmp_path)
    store.write("predict", "k", fill_with("one"), fields={})
    store.write("predict", "k", fill_with("two"), fields={})
    assert store.file("predict", "k", "deep/result.txt").read_text() == "one"


def test_a_step_that_fails_does_not_exist_and_leaves_nothing(tmp_path):
    def fails(folder):
        (folder / "half").write_text("x")
        raise RuntimeError("no")

    store = Store(tmp_path)
    with pytest.raises(RuntimeError):
        store.write("predict", "k", fails, fields={})
    assert not store.has("predict", "k")
    assert not any((tmp_path / "unfinished").iterdir())


def test_a_changed_file_is_named_with_what_to_do(tmp_path):
    store = Store(tmp_path)
    store.write("predict", "k", fill_with("one"), fields={})
    (store.folder("predict", "k") / "deep" / "result.txt").write_text("two")
    with pytest.raises(UserError, match=r"result\.txt has the digest .* damaged; `spillover run` computes"):
        store.file("predict", "k", "deep/result.txt")


def test_a_missing_file_is_named_with_what_to_do(tmp_path):
    store = Store(tmp_path)
    store.write("predict", "k", fill_with("one"), fields={})
    (store.folder("predict", "k") / "deep" / "result.txt").unlink()
    with pytest.raises(UserError, match=r"result\.txt is missing from a finished step; `spillover run` computes"):
        store.file("predict", "k", "deep/result.txt")


def test_a_full_disk_is_one_line(tmp_path):
    def full(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match=r"no room left on the disk of .*free some space or choose another folder"):
        Store(tmp_path).write("predict", "k", full, fields={})


def test_a_store_that_cannot_be_written_is_one_line(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="cannot write to the store"):
        Store(blocked).write("predict", "k", fill_with("one"), fields={})


def test_what_a_killed_process_left_behind_is_removed_and_computed_again(tmp_path):
    code = f"""
        import os, signal
        from pathlib import Path
        from spillover.store.store import Store
        def die(folder):
            (folder / "result.txt").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        Store(Path({str(tmp_path)!r})).write("predict", "k", die, fields={{}})
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "unfinished" / "k" / "result.txt").exists()
    store = Store(tmp_path)
    assert not store.has("predict", "k")
    store.write("predict", "k", fill_with("whole"), fields={})
    assert store.file("predict", "k", "deep/result.txt").read_text() == "whole"
    assert not (store.folder("predict", "k") / "result.txt").exists()


def test_two_processes_that_share_a_store_compute_a_step_once(tmp_path):
    code = f"""
        import time
        from pathlib import Path
        from spillover.store.store import Store
        def slow(folder):
            time.sleep(0.3)
            with (Path({str(tmp_path)!r}) / "log").open("a") as log:
                log.write("computed\\n")
            return {{}}
        Store(Path({str(tmp_path)!r}) / "store").write("predict", "k", slow, fields={{}})
    """
    both = [subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert (tmp_path / "log").read_text() == "computed\n"
