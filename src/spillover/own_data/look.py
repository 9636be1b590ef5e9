"""Looks at a user's own table: its dialect, its columns, and which of them may be inputs and target."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from spillover.artifacts.files import read_whole
from spillover.errors import UserError, unknown_name
from spillover.tasks.labels import folded
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
TARGET_NAMES += ("response", "completion", "output", "assistant", "stars", "rating", "score", "y")
INPUT_NAMES = (
    "text",
    "review",
    "input",
    "sentence",
    "question",
    "prompt",
    "document",
    "article",
    "body",
    "content",
    "user",
)
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
CHATS = (("role", "content"), ("from", "value"))
"""How a turn of a conversation says who speaks and what."""
SPEAKERS = {"human": "user", "gpt": "assistant", "model": "assistant"}
"""What others call the two who speak."""
SPEAKING = (("user", "assistant"), ("system", "user", "assistant"))
"""Conversations that are a question and its answer."""
SEPARATORS = (",", ";", "\t", "|")


LONGEST_LABEL = 60
"""Characters; longer targets are text and no labels."""
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
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Column to where it stands within one of the file."""

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
    if speaking := _speaking(path, rows, columns):
        return speaking
    if len(columns) < 2:
        raise UserError(f"{path}: has one column, {columns[0]!r}; expected a column of inputs and one of targets")
    return Table(path, separator, columns, tuple(rows))


def _speaking(path: Path, rows: Sequence[RawRow], columns: Sequence[str]) -> Table | None:
    """Return the table whose rows are conversations, with a column for each who speaks; None where they are none."""
    for column in columns:
        for who, what in CHATS:
            read = [_roles(row.values.get(column), who, what) for row in rows]
            if not all(read):
                continue
            spoken = set(read)
            if len(spoken) > 1 or (roles := next(iter(spoken))) not in SPEAKING:
                longest = max(spoken, key=len)
                raise UserError(
                    f"{path}: the conversations in column {column!r} go on to {len(longest)} turns or differ in who "
                    "speaks; init reads one question and one answer in every row. `turns` in a suite reads longer ones"
                )
            places = {role: f"{column}.{number}.{what}" for number, role in enumerate(roles)}
            named = [
                replace(row, values={**row.values, **{role: row.value(place) for role, place in places.items()}})
                for row in rows
            ]
            others = [name for name in columns if name != column and name not in places]
            return Table(path, "", (*places, *others), tuple(named), places)
    return None


def _roles(turns: object, who: str, what: str) -> tuple[str, ...]:
    """Return who speaks in a conversation, in order; nothing where the value is none."""
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        return ()
    if not all(isinstance(turn.get(key), str) for turn in turns for key in (who, what)):
        return ()
    return tuple(SPEAKERS.get(turn[who], turn[who]) for turn in turns)


def options_column(table: Table, target: str) -> str:
    """Return where each row lists the options of which its target is one, by its text or its place; empty if nowhere.

    A place counted from 1 is taken too, so that the row is refused by name and no list is left out silently.
    """
    for column in table.columns:
        values = [row.values.get(column) for row in table.rows]
        place = column
        if all(isinstance(value, Mapping) and isinstance(value.get("text"), list) for value in values):
            values, place = [value["text"] for value in values if isinstance(value, Mapping)], f"{column}.text"
        if not all(isinstance(value, list) and len(value) > 1 for value in values):
            continue
        given = [row.values.get(target) for row in table.rows]
        if all(_is_option(one, options) for one, options in zip(given, values, strict=True)):
            return place
    return ""


def _is_option(given: object, options: object) -> bool:
    assert isinstance(options, list)
    if isinstance(given, str) and given in options:
        return True
    text = str(given)
    place = ord(text) - ord("A") if len(text) == 1 and text.isalpha() else int(text) if text.isdecimal() else -1
    return 0 <= place <= len(options)


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
    values = {
        name: [folded(text) if len(text) <= LONGEST_LABEL else text for text in plain_values(table, name)]
        for name in table.columns
        if name
    }
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
