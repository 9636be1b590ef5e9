"""The finished batches of a cell that is still being asked, kept so that a killed run goes on after the last one."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from spillover.evaluation.predict import Row, Rows

DIGEST_LENGTH = 65
"""Bytes that a line begins with: the hexadecimal SHA-256 of whose it is and what it holds, and a space."""
SECONDS_BETWEEN_WRITES = 2.0
"""Of finished batches that a killed run may lose."""


class PartialCell:
    """Rows of one cell in a file: a first line that says whose they are, then one line a batch.

    Args:
        folder: Of this cell alone; it is removed when the cell is done.
        identity: Whatever the rows depend on; a file of another identity is ignored.
        row_count: Rows of the whole cell.
        seconds: From one write to the next.
    """

    def __init__(self, folder: Path, *, identity: str, row_count: int, seconds: float = SECONDS_BETWEEN_WRITES) -> None:
        self._folder = folder
        self._file = folder / "rows.jsonl"
        self._first_line = json.dumps({"identity": identity}).encode() + b"\n"
        self._row_count = row_count
        self._seconds = seconds
        self._waiting: list[Rows] = []
        self._last = time.monotonic()
        self.rows: dict[int, Row] = {}
        """Every row that is known."""
        self._whole_bytes = 0
        """Of the file, up to the end of its last whole line; 0 where there is nothing to go on from."""
        for rows, end in self._read():
            self.rows |= rows
            self._whole_bytes = end

    @property
    def share(self) -> float:
        """How much of the cell is done, 0..1."""
        return len(self.rows) / self._row_count

    def add(self, rows: Rows) -> None:
        """Keep a finished batch; it is written at once or, where the last write was just now, with one of the next."""
        self.rows |= rows
        self._waiting.append(rows)
        if time.monotonic() - self._last >= self._seconds:
            self._write()

    def remove(self) -> None:
        """Forget the cell."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self) -> None:
        lines = b"".join(self._line(rows) for rows in self._waiting)
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._file.open("r+b" if self._whole_bytes else "wb") as opened:
            if not self._whole_bytes:
                lines = self._first_line + lines
            opened.seek(self._whole_bytes)
            opened.truncate()  # what a killed run tore off
            opened.write(lines)
        self._whole_bytes += len(lines)
        self._waiting.clear()
        self._last = time.monotonic()

    def _read(self) -> Iterator[tuple[Rows, int]]:
        """Yield the batches of whole, sound lines and where each ends; whatever comes after a broken one is ignored."""
        if not self._file.is_file():
            return
        first, *lines = self._file.read_bytes().splitlines(keepends=True) or [b""]
        if first != self._first_line:
            return
        end = len(first)
        yield {}, end
        for line in lines:
            rows = self._batch(line)
            if rows is None:
                return
            end += len(line)
            yield rows, end

    def _batch(self, line: bytes) -> Rows | None:
        try:
            rows = {int(number): tuple(values) for number, values in json.loads(line[DIGEST_LENGTH:])}
        except (ValueError, TypeError):
            return None
        finite = all(math.isfinite(value) for values in rows.values() for value in values)
        return rows if finite and line == self._line(rows) else None

    def _line(self, rows: Rows) -> bytes:
        """Return a batch as it is written; any other bytes than those of its rows are damage."""
        content = json.dumps(list(rows.items())).encode()
        return hashlib.sha256(self._first_line + content).hexdigest().encode() + b" " + content + b"\n"
