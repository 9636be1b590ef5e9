"""Where fetched and converted things are kept, and how a file appears there: whole or not at all."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spillover.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NoRoomError(UserError):
    """A disk is full."""


def default_cache() -> Path:
    """Return the user's cache folder for this program; it need not exist yet."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("spillover"))


@contextmanager
def room_on_disk(place: Path) -> Iterator[None]:
    """Turn "no space left", or a file larger than the disk takes, into a NoRoomError that names ``place``."""
    try:
        yield
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        # safetensors reports the system's error in words only.
        found = [full for full in _FULL if number == full or f"os error {full})" in str(error)]
        if not found:
            raise
        raise NoRoomError(
            f"no room left on the disk of {place}; free some space or choose another folder ({os.strerror(found[0])})"
        ) from error


@contextmanager
def cache_folder(folder: Path) -> Iterator[None]:
    """Make a folder of the cache, if need be, and let the block write in it; what the cache refuses is its own fault.

    Raises:
        UserError: If the folder, or a file in it, cannot be made.
    """
    with room_on_disk(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            if error.errno in _FULL or not str(error.filename or "").startswith(str(folder)):
                raise
            raise UserError(
                f"the cache cannot be written: {error.filename}: {error.strerror}; mend that folder, or set "
                "SPILLOVER_CACHE to another"
            ) from error


def new_file_mode() -> int:
    """Return the mode that this process gives a new file, which one made under a secret name does not have."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@contextmanager
def whole_file(destination: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``destination`` that is renamed to it if the block succeeds, else removed."""
    with cache_folder(destination.parent):
        handle, name = tempfile.mkstemp(dir=destination.parent, prefix=f".{destination.name}.")
        os.close(handle)
        temporary = Path(name)
        temporary.chmod(new_file_mode())
        try:
            yield temporary
            temporary.replace(destination)
        finally:
            temporary.unlink(missing_ok=True)
