"""Turns the bytes of a CSV, TSV, JSON, JSONL or text file into rows of named values."""

import codecs
import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from spillover.errors import UserError

Format = Literal["csv", "tsv", "jsonl", "json", "text"]


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as its file holds it."""

    file: str
    """The file as the suite names it; error messages and example ids begin with it."""
    number: int
    """1-based count of rows, the header not counted; in JSONL the line number."""
    values: Mapping[str, object]

    @property
    def place(self) -> str:
        """File and row, to begin an error message with."""
        return f"{self.file}: row {self.number}"

    def value(self, column: str) -> object:
        """Return the value of a column; a missing one is an error that lists the columns there are."""
        if column not in self.values:
            there = ", ".join(repr(name) for name in self.values)
            raise UserError(f"{self.place} has no column {column!r}; the columns are {there}")
        return self.values[column]

    def text(self, column: str) -> str:
        """Return a column's value as stripped text; null is empty, a list or mapping is an error."""
        return self.as_text(column, self.value(column)).strip()

    def as_text(self, column: str, value: object) -> str:
        """Write a plain value of ``column`` as text."""
        if value is None:
            return ""
        if isinstance(value, str):
            return value
        if isinstance(value, bool | int | float):
            return json.dumps(value)
        raise UserError(
            f"{self.place}, column {column!r} holds a {type(value).__name__}; expected text"
            + (" (set `first: true` on the column to take a list's first entry)" if isinstance(value, list) else "")
        )


def table_rows(
    content: bytes,
    *,
    file: str,
    format: Format,  # noqa: A002
    header: tuple[str, ...] = (),
    delimiter: str | None = None,
) -> list[RawRow]:
    """Read a whole file.

    A TSV has no quoting. A text file is one row with the columns ``first_paragraph`` and ``other_paragraphs``.
    Errors and ids name the file as ``file``. A ``header`` is given for a CSV or TSV whose first line is already data;
    columns beyond it are ignored. A ``delimiter`` other than a comma is given for a CSV only.
    """
    text = _decoded(content, file)
    if format == "jsonl":
        rows = list(_json_lines(text, file))
    elif format == "json":
        rows = list(_json_list(text, file))
    elif format == "text":
        first, _, others = text.replace("\r\n", "\n").strip().partition("\n\n")
        rows = [RawRow(file, 1, {"first_paragraph": first, "other_paragraphs": others})] if first else []
    else:
        rows = list(_separated(text, file, format, delimiter=delimiter, header=header))
    if not rows:
        raise UserError(f"{file}: the file holds no rows; expected at least one")
    return rows


def _decoded(content: bytes, file: str) -> str:
    mark = len(codecs.BOM_UTF8) if content.startswith(codecs.BOM_UTF8) else 0
    try:
        return content[mark:].decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: byte {mark + error.start} is not UTF-8; save the file as UTF-8") from None


def _json_lines(text: str, file: str) -> Iterator[RawRow]:
    # Not splitlines(): JSON strings may hold U+2028 and other characters that it takes for line ends.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield _json_row(json.loads(line), file, number)
            except json.JSONDecodeError as error:
                raise UserError(
                    f"{file}: line {number} is not JSON ({error.msg}); expected one object a line"
                ) from None


def _json_list(text: str, file: str) -> Iterator[RawRow]:
    if not text.strip():
        return
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{file}: line {error.lineno} is not JSON ({error.msg}); expected a list of objects") from None
    if not isinstance(content, list):
        raise UserError(f"{file}: holds a JSON {type(content).__name__}; expected a list of objects")
    for number, entry in enumerate(content, start=1):
        yield _json_row(entry, file, number)


def _json_row(entry: object, file: str, number: int) -> RawRow:
    if not isinstance(entry, dict):
        raise UserError(f"{file}: row {number} is a JSON {type(entry).__name__}; expected an object")
    return RawRow(file, number, entry)


def _separated(
    text: str, file: str, kind: Format, *, delimiter: str | None, header: tuple[str, ...]
) -> Iterator[RawRow]:
    stream = io.StringIO(text, newline="")
    if kind == "csv":
        lines = csv.reader(stream, delimiter=delimiter or ",", strict=True)
    else:
        lines = csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
    try:
        names = header or tuple(name.strip() for name in next(lines, ()))
        if len(set(names)) < len(names):
            raise UserError(f"{file}: the header {', '.join(names)} names a column twice; rename one")
        for number, line in enumerate((line for line in lines if line), start=1):
            if len(line) < len(names):
                raise UserError(f"{file}: row {number} has {len(line)} columns; expected {len(names)}")
            yield RawRow(file, number, dict(zip(names, line, strict=False)))
    except csv.Error as error:
        raise UserError(
            f"{file}: line {lines.line_num} is not {kind.upper()} ({error}); correct it or use JSONL"
        ) from None
