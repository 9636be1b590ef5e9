"""Looks at a user's own table: its dialect, its columns, and which of them may be inputs and target."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spillover.artifacts.files import read_whole
from spillover.errors import UserError, unknown_name
from spillover.tasks.source import SIZE_LIMIT_BYTES, FileSource
from spillover.tasks.table import RawRow, stated_separator, table_rows

TARGET_NAMES: tuple[str, ...] = (
    "label",
    "labels",
    "target",
    "sentiment",
    "class",
    "category",
    "gold_label",
    "summary",
    "answer",
)
"""Column names that mostly hold the target, the surest first."""
TARGET_NAMES += ("response", "completion", "output", "stars", "rating", "score", "y")
INPUT_NAMES = ("text", "review", "input", "sentence", "question", "prompt", "document", "article", "body", "content")
"""Column names that mostly hold the input, the surest first."""
PAIRS: tuple[tuple[str, str], ...] = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("text1", "text2"),
)
"""Column names of inputs that belong together."""
PAIRS += (
    ("instruction", "input"),
    ("instruction", "context"),
    ("question1", "question2"),
    ("text_a", "text_b"),
    ("context", "question"),
    ("passage", "question"),
)
SEPARATORS = (",", ";", "\t", "|")


HARDLY_REPEATED = 0.9
"""Share of different values from which on a column is text or row numbers, and no labels."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows, read whole."""

    path: Path
    separator: str
    """Empty where the file is no CSV, or one with commas."""
    columns: tuple[str, ...]
    rows: tuple[RawRow, ...]

    def texts(self, column: str) -> list[str]:
        """Return a column's values as stripped text; an unknown column is an error with the nearest name."""
        if column not in self.columns:
            raise unknown_name(f"column of {self.path}", column, self.columns)
        return [row.text(column) for row in self.rows]


def read_table(path: Path) -> Table:
    """Read a user's CSV, TSV, JSON, JSONL or Parquet file; whatever is wrong with it is a UserError of one line."""
    try:
        content = read_whole(path, at_most=SIZE_LIMIT_BYTES)
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror or 'cannot be read'}; give a CSV, TSV, JSON, JSONL or Parquet file"
        ) from None
    file = str(path)
    kind = FileSource(file=file).format_of(file)
    if kind == "text":
        raise UserError(f"{path}: a text file has no columns; give a CSV, TSV, JSON, JSONL or Parquet file")
    separator = _separator(content) if kind == "csv" else ""
    rows = table_rows(content, file=file, format=kind, separator=separator)
    columns = tuple(dict.fromkeys(name for row in rows for name in row.values))
    if len(columns) < 2:
        raise UserError(f"{path}: has one column, {columns[0]!r}; expected a column of inputs and one of targets")
    return Table(path, separator, columns, tuple(rows))


def _separator(content: bytes) -> str:
    """Return what separates the names of the header, empty for a comma: as the file says, else the most frequent."""
    header = content.partition(b"\n")[0].decode("utf-8-sig", errors="replace")
    most = stated_separator(header) or max(SEPARATORS, key=header.count)
    return "" if most == "," else most


def relative_file(path: Path, folder: Path) -> str:
    """Return a file's path as a suite in ``folder`` writes it."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def guessed_target(table: Table) -> str:
    """Return the column that is most likely the target: by its name, else that of the fewest values.

    Of texts that hardly repeat it is the shortest, whatever the language of its name: what is asked for is mostly
    shorter than what it is asked of. Numbers that hardly repeat are rather those of the rows.
    """
    by_name = _named(table.columns, TARGET_NAMES)
    if by_name:
        return by_name
    values = {name: plain_values(table, name) for name in table.columns if name}
    counts = {name: len(set(own)) for name, own in values.items()}
    several = [name for name, count in counts.items() if count > 1] or list(counts)

    def rank(name: str) -> tuple[float, bool, int]:
        own = values[name]
        is_text = counts[name] > HARDLY_REPEATED * len(own)
        if not is_text:
            return counts[name], False, 0
        return len(own), all(text.strip().isdecimal() for text in own), sum(map(len, own))

    return min(several, key=rank)


def guessed_inputs(table: Table, target: str) -> tuple[str, ...]:
    """Return the columns that are most likely the input: a known pair, a known name, else the longest texts."""
    left = {name.casefold(): name for name in table.columns if name and name != target}
    for first, second in PAIRS:
        if first in left and second in left:
            return left[first], left[second]
    by_name = _named(tuple(left.values()), INPUT_NAMES)
    return (by_name or max(left.values(), key=lambda name: sum(map(len, plain_values(table, name)))),)


def label_counts(table: Table, target: str) -> Counter[str]:
    """Return each target's number of rows; a row without one is an error that counts them."""
    texts = table.texts(target)
    empty = [row for row, text in zip(table.rows, texts, strict=True) if not text]
    if empty:
        raise UserError(
            f"{table.path}: {len(empty)} of {len(texts)} rows have no target in column {target!r}, the first is row "
            f"{empty[0].number}; fill them in or delete them"
        )
    return Counter(texts)


def _named(columns: Sequence[str], names: Sequence[str]) -> str:
    left = {column.casefold(): column for column in columns}
    return next((left[name] for name in names if name in left), "")


def plain_values(table: Table, column: str) -> list[str]:
    """Return a column's values for guessing; a list or a missing one counts as empty."""
    values = (row.values.get(column) for row in table.rows)
    return [str(value) if isinstance(value, str | int | float) else "" for value in values]
