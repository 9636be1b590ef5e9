"""Turns the bytes of a CSV, TSV, JSON, JSONL, Parquet or text file into rows of named values."""

import codecs
import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from spillover.errors import UserError
from spillover.settings import LONE_SURROGATE

Format = Literal["csv", "tsv", "jsonl", "json", "text", "lines", "parquet"]
_STATED = re.compile(r'"?sep=(.)"?[,;\t ]*\r?(?:\n|$)', re.I)
"""What Excel writes, and reads, as the first line of a CSV."""


@dataclass(slots=True)  # not frozen, which makes a million of them twice as slow
class RawRow:
    """One row as its file holds it; nothing changes it."""

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
        """Return the value of a column; a missing one is an error that lists the columns there are.

        ``document.pages.0`` leads into a column that holds mappings or lists, where no column has just this name.
        """
        if column in self.values:
            return self.values[column]
        value: object = self.values
        for key in column.split("."):
            if isinstance(value, Mapping) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                there = ", ".join(repr(name) for name in self.values)
                raise UserError(f"{self.place} has no column {column!r}; the columns are {there}")
        return value

    def text(self, column: str) -> str:
        """Return a column's value as stripped text; null and NaN are empty, a list or mapping is an error."""
        return self.as_text(column, self.value(column)).strip()

    def as_text(self, column: str, value: object) -> str:
        """Write a plain value of ``column`` as text."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""  # pandas writes what is missing as NaN
        if isinstance(value, str):
            if not value.isascii() and (lone := LONE_SURROGATE.search(value)):
                raise UserError(f"{self.place}, column {column!r}: {lone.group()!r} is not a character; remove it")
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
    separator: str = "",
    at: tuple[int | str, ...] = (),
    key: str = "",
) -> list[RawRow]:
    """Read a whole file.

    A TSV has no quoting. A text file is one row with the columns ``first_paragraph`` and ``other_paragraphs``.
    Errors and ids name the file as ``file``. A ``header`` is given for a CSV or TSV whose first line is already data;
    columns beyond it are ignored; beyond the file's own header they must be empty. A file of ``lines`` has no quoting
    either: a line is divided at its last ``separator``, once less than the ``header`` has names. A CSV takes another
    ``separator`` than the comma, also from a first line ``sep=;``. JSON lines and a JSON list are told apart by what
    they hold, whatever the format says. In JSON, ``at`` leads to the rows, and a mapping's keys land in the column
    ``key``.
    """
    if format == "parquet":
        return _parquet(content, file)
    text = _decoded(content, file)
    if format == "jsonl":
        is_list = text.lstrip().startswith("[")
        rows = list(_json_list(text, file, (), "") if is_list else _json_lines(text, file))
    elif format == "json":
        rows = list(_json_list(text, file, at, key))
    elif format == "text":
        first, _, others = text.replace("\r\n", "\n").strip().partition("\n\n")
        rows = [RawRow(file, 1, {"first_paragraph": first, "other_paragraphs": others})] if first else []
    elif format == "lines":
        rows = list(_lines(text, file, separator, header))
    else:
        rows = list(_separated(text, file, format, separator, header))
    if not rows:
        raise UserError(f"{file}: the file holds no rows; expected at least one")
    return rows


def stated_separator(text: str) -> str:
    """Return the separator that a CSV states in its first line, ``sep=;``; empty where it states none."""
    stated = _STATED.match(text)
    return stated[1] if stated else ""


def _parquet(content: bytes, file: str) -> list[RawRow]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError(
            f"{file}: Parquet is read with pyarrow; run: pip install 'spillover[parquet]', or save the rows as JSONL"
        ) from None
    try:
        rows = parquet.read_table(io.BytesIO(content)).to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{file}: is not Parquet ({error}); write it again or save the rows as JSONL") from None
    if not rows:
        raise UserError(f"{file}: the file holds no rows; expected at least one")
    return [_json_row(row, file, number) for number, row in enumerate(rows, start=1)]


def _named(header: list[str] | tuple[()]) -> tuple[str, ...]:
    """Return the names of a header; one without a name, as of pandas' index, is called by its place."""
    names = tuple(name.strip() for name in header)
    return tuple(name or f"unnamed {place}" for place, name in enumerate(names, start=1)) if any(names) else names


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
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UserError(
                    f"{file}: line {number} is not JSON ({_fault(error)}); expected one object a line"
                ) from None
            yield _json_row(entry, file, number)


def _lines(text: str, file: str, separator: str, header: tuple[str, ...]) -> Iterator[RawRow]:
    if not separator or not header:
        raise UserError(f"{file}: a file of lines needs `separator` and `header`; add them to the source")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            values = line.removesuffix("\r").rsplit(separator, len(header) - 1)
            if len(values) < len(header):
                raise UserError(
                    f"{file}: line {number} has {len(values)} columns between {separator!r}; expected {len(header)}"
                )
            yield RawRow(file, number, dict(zip(header, values, strict=True)))


def _json_list(text: str, file: str, at: tuple[int | str, ...], key: str) -> Iterator[RawRow]:
    if not text.strip():
        return
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data" and not at and not key:
            yield from _json_lines(text, file)
            return
        place = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "the file"
        raise UserError(f"{file}: {place} is not JSON ({_fault(error)}); expected a list of objects") from None
    for step in at:
        try:
            content = content[step]
        except (LookupError, TypeError):
            raise UserError(f"{file}: has no {step!r}, which `at` of the source asks for") from None
    if key and isinstance(content, dict):
        content = [{key: name, **entry} if isinstance(entry, dict) else entry for name, entry in content.items()]
    if not isinstance(content, list):
        raise UserError(f"{file}: holds a JSON {type(content).__name__}; expected a list of objects")
    for number, entry in enumerate(content, start=1):
        yield _json_row(entry, file, number)


def _fault(error: ValueError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def _json_row(entry: object, file: str, number: int) -> RawRow:
    if not isinstance(entry, dict):
        raise UserError(f"{file}: row {number} is a JSON {type(entry).__name__}; expected an object")
    return RawRow(file, number, entry)


def _separated(text: str, file: str, format: Format, separator: str, header: tuple[str, ...]) -> Iterator[RawRow]:  # noqa: A002
    # The module's own limit, 128 KiB a field, is one for the whole process.
    csv.field_size_limit(max(csv.field_size_limit(), min(len(text), 2**31 - 1)))
    if format == "csv" and (stated := _STATED.match(text)):
        delimiter, text = separator or stated[1], text[stated.end() :]
    else:
        delimiter = separator or ("," if format == "csv" else "\t")
    stream = io.StringIO(text, newline="")
    if format == "csv":
        lines = csv.reader(stream, delimiter=delimiter, strict=True)
    else:
        lines = csv.reader(stream, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    try:
        names = header or _named(next(lines, ()))
        if len(set(names)) < len(names):
            raise UserError(f"{file}: the header {', '.join(names)} names a column twice; rename one")
        for number, line in enumerate((line for line in lines if line), start=1):
            if len(line) < len(names):
                raise UserError(f"{file}: row {number} has {len(line)} columns; expected {len(names)}")
            if not header and len(line) > len(names) and any(line[len(names) :]):
                raise UserError(
                    f"{file}: row {number} has {len(line)} columns, its header {len(names)}; put values that hold "
                    f"{delimiter!r} in quotes, or name the columns with `header`"
                )
            yield RawRow(file, number, dict(zip(names, line, strict=False)))
    except csv.Error as error:
        raise UserError(
            f"{file}: line {lines.line_num} is not {format.upper()} ({error}); correct it or use JSONL"
        ) from None
