import errno
import os
from pathlib import Path

import pytest

from spillover.artifacts.cache import default_cache, room_on_disk, whole_file
from spillover.errors import UserError


def _write_and_raise(path: Path, error: BaseException) -> None:
    path.write_bytes(b"half")
    raise error


def test_the_default_cache_is_named_for_the_program() -> None:
    assert "spillover" in str(default_cache())


def test_a_file_appears_when_its_block_ends(tmp_path: Path) -> None:
    destination = tmp_path / "deep" / "file.bin"
    with whole_file(destination) as temporary:
        temporary.write_bytes(b"content")
        assert not destination.exists()
    assert destination.read_bytes() == b"content"
    assert list(destination.parent.iterdir()) == [destination]


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    destination = tmp_path / "file.bin"
    destination.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), whole_file(destination) as temporary:
        _write_and_raise(temporary, KeyboardInterrupt())
    assert destination.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [destination]


def test_a_full_disk_is_one_line_that_names_the_place(tmp_path: Path) -> None:
    expected = f"no room left on the disk of {tmp_path}; free some space"
    with pytest.raises(UserError, match=expected), whole_file(tmp_path / "file.bin") as temporary:
        _write_and_raise(temporary, OSError(errno.ENOSPC, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_told_in_words_is_understood(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no room left on the disk"), room_on_disk(tmp_path):
        raise RuntimeError("I/O error: No space left on device (os error 28)")


def test_other_errors_of_the_system_pass_through(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), room_on_disk(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_a_file_has_the_mode_that_every_new_file_gets(tmp_path: Path) -> None:
    for mask in (0o022, 0o077):
        before = os.umask(mask)
        try:
            with whole_file(tmp_path / "whole") as temporary:
                temporary.write_text("x")
            (tmp_path / f"plain {mask}").write_text("x")
        finally:
            os.umask(before)
        assert (tmp_path / "whole").stat().st_mode == (tmp_path / f"plain {mask}").stat().st_mode
