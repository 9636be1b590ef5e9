import os
import socket
from pathlib import Path

import pytest

from spillover.artifacts.files import own_path, read_whole


def test_a_file_is_read_whole_and_a_larger_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    assert read_whole(tmp_path / "file", at_most=1000) == b"x" * 1000
    with pytest.raises(OSError, match="is larger than 0 MB"):
        read_whole(tmp_path / "file", at_most=999)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes and devices have names on POSIX only")
def test_what_has_no_end_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the name of a socket is short
        server.bind("socket")
        for path in (Path("/dev/zero"), tmp_path / "pipe", Path("socket"), tmp_path):
            with pytest.raises(OSError, match=r"device or a pipe|folder|directory|No such device"):
                read_whole(path, at_most=1000)


def test_a_tilde_is_the_home_and_an_unknown_users_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "file").write_bytes(b"x")
    assert read_whole(Path("~/file"), at_most=1) == b"x"
    assert own_path("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")
