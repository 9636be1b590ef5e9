"""Reads a file that a user names, whole: nothing without an end, and no more bytes than such a file may have."""

import errno
import os
import stat
from pathlib import Path

LARGEST_LOG_BYTES = 2**32
"""Of what another program logged."""


def own_path(path: str | Path) -> Path:
    """Return a path with ``~`` at its beginning as the home it stands for; one of an unknown user stays."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises on an unknown user


def read_whole(path: Path, *, at_most: int) -> bytes:
    """Return a file's content.

    Raises:
        OSError: If there is none, it is no plain file (a device or a pipe never ends, or cannot be read twice), or it
            has more than ``at_most`` bytes; ``strerror`` says which.
    """
    with open(own_path(path), "rb", opener=_without_waiting) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is a device or a pipe, no file on a disk", str(path))
        content = stream.read(at_most + 1)
    if len(content) > at_most:
        raise OSError(errno.EFBIG, f"is larger than {at_most / 1e6:,.0f} MB", str(path))
    return content


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to would be waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
