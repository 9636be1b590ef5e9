"""Reading members out of wheels, zips and tar.gz archives without trusting what is in them."""

import errno
import gzip
import io
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from spillover.errors import UserError

NESTED = "!"
"""``inner.tar.gz!name`` is the member ``name`` of the archive that is the member ``inner.tar.gz``."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may come out of an archive; text compresses 3 to 10 times, a bomb about a thousand times."""

    member_bytes: int = 4 << 30
    expansion: int = 200
    """Uncompressed bytes per compressed byte."""
    small_bytes: int = 16 << 20
    """Up to here any expansion is harmless."""


DEFAULT_LIMITS = Limits()
_CORRUPT = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, NotImplementedError, UnicodeError),
)
"""What the readers of the formats raise at bytes that are not of them."""
ENCRYPTED = 0x1
"""The general purpose flag bit of an encrypted zip member (APPNOTE 4.4.4)."""


def read_member(archive: Path, member: str, *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the bytes of one member, named exactly.

    Raises:
        UserError: Not an archive, no such member, an unsafe name or kind of member, or one that grows past ``limits``.
    """
    with open_member(archive, member, limits=limits) as stream:
        return stream.read()


def read_members(archive: Path, pattern: str, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of every file that matches ``pattern``, opening the archive once; errors as `read_member`.

    The pattern has shell wildcards, whose ``*`` also matches ``/``.
    """
    outer, _, inner = pattern.rpartition(NESTED)
    prefix = outer + NESTED if outer else ""
    with _opened_archive(archive, outer, limits) as entries:
        for entry in entries:
            if fnmatchcase(entry.name, inner):
                with entry.opened() as stream:
                    yield prefix + entry.name, stream.read()


@contextmanager
def open_member(archive: Path, member: str, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[IO[bytes]]:
    """Open one member for streaming inside the block; errors as `read_member`."""
    outer, _, inner = member.rpartition(NESTED)
    if _is_unsafe(inner):
        raise UserError(f"{archive}: member {inner!r} has an unsafe path; name a file below the archive's root")
    with _opened_archive(archive, outer, limits) as entries:
        for entry in entries:
            if entry.name == inner:
                with entry.opened() as stream:
                    yield stream
                return
    raise UserError(f"{archive}: no member {member!r}; check its spelling, or the release the archive is of")


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    byte_count: int
    compressed_byte_count: int
    """Of the member in a zip; of the whole archive in a tar, which compresses as one stream."""
    is_plain_file: bool
    opener: Callable[[], IO[bytes] | None]
    shown: str
    limits: Limits

    def opened(self) -> IO[bytes]:
        """Open for reading once what is declared was checked; neither format gives more bytes than it declares."""
        shown = f"{self.shown}: member {self.name!r}"
        if _is_unsafe(self.name):
            raise UserError(f"{shown} has an unsafe path; do not use this archive")
        stream = self.opener() if self.is_plain_file else None
        if stream is None:
            raise UserError(f"{shown} is a link, a device or encrypted; only plain files are read")
        if self.byte_count > self.limits.member_bytes:
            raise UserError(f"{shown} has {self.byte_count} bytes, the limit is {self.limits.member_bytes}")
        _require_expansion(self.byte_count, self.compressed_byte_count, shown, self.limits)
        return stream


@contextmanager
def _opened_archive(archive: Path, outer: str, limits: Limits) -> Iterator[Iterator[_Entry]]:
    """Open ``archive`` itself, or with ``outer`` the archive that is its member of this name."""
    shown = f"{archive}{NESTED}{outer}" if outer else str(archive)
    if not archive.is_file():
        raise UserError(f"{archive}: no such archive; fetch it first")
    with _corruption_as_user_error(shown):
        if outer:
            with io.BytesIO(read_member(archive, outer, limits=limits)) as inner:
                yield _entries(inner, len(inner.getbuffer()), shown, limits)
        else:
            with archive.open("rb") as stream:
                yield _entries(stream, archive.stat().st_size, shown, limits)


def _entries(stream: IO[bytes], archive_byte_count: int, shown: str, limits: Limits) -> Iterator[_Entry]:
    """Yield what the archive holds, directories left out; an entry can be opened until the next is asked for."""
    is_zip = stream.read(2) == b"PK"
    stream.seek(0)
    if is_zip:
        walked_byte_count = 0
        with zipfile.ZipFile(stream) as zip_file:
            for info in zip_file.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                is_plain_file = kind in (0, stat.S_IFREG) and not info.flag_bits & ENCRYPTED
                opener = partial(zip_file.open, info)
                if not info.is_dir():
                    sizes = info.file_size, info.compress_size
                    yield _Entry(info.filename, *sizes, is_plain_file, opener, shown, limits)
                walked_byte_count += info.file_size
                _require_expansion(walked_byte_count, archive_byte_count, shown, limits)
        return
    with (
        gzip.GzipFile(fileobj=stream) as unpacked,
        tarfile.open(fileobj=_Metered(unpacked, archive_byte_count, shown, limits), mode="r:") as tar_file,
    ):
        walked_byte_count = 0
        for member in tar_file:
            opener_of_tar = partial(tar_file.extractfile, member)
            if not member.isdir():
                sizes = member.size, archive_byte_count
                yield _Entry(member.name, *sizes, member.isreg(), opener_of_tar, shown, limits)
            walked_byte_count += member.size
            _require_expansion(walked_byte_count, archive_byte_count, shown, limits)


class _Metered(io.RawIOBase):
    """An unpacked stream of which no more is read than an archive may hold: long names of a tar are read whole."""

    def __init__(self, stream: gzip.GzipFile, compressed_byte_count: int, shown: str, limits: Limits) -> None:
        self._stream = stream
        self._require = partial(
            _require_expansion, compressed_byte_count=compressed_byte_count, shown=shown, limits=limits
        )

    def read(self, size: int = -1) -> bytes:
        self._require(self._stream.tell() + max(size, 0))
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


def _require_expansion(byte_count: int, compressed_byte_count: int, shown: str, limits: Limits) -> None:
    if byte_count > max(limits.small_bytes, limits.expansion * compressed_byte_count):
        raise UserError(
            f"{shown} expands from {compressed_byte_count} to {byte_count} bytes, more than {limits.expansion} times; "
            f"this looks like a decompression bomb, do not use this archive"
        )


def _is_unsafe(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or re.match(r"[A-Za-z]:", name) is not None


@contextmanager
def _corruption_as_user_error(shown: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # A damaged offset makes the system refuse to seek there.
        if not isinstance(error, _CORRUPT) and getattr(error, "errno", None) != errno.EINVAL:
            raise
        raise UserError(
            f"{shown}: not a readable zip, wheel or tar.gz archive ({error}); delete it and fetch it again"
        ) from error
