"""Turns the raw rows of a file into examples, as the task's settings say."""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from spillover.errors import UserError
from spillover.prompts.demonstrations import normalised
from spillover.prompts.template import Template
from spillover.records import Example
from spillover.tasks.table import RawRow
from spillover.tasks.task import Column, Options, Task


@dataclass(slots=True)
class Rows:
    """The examples of one part and what happened on the way."""

    examples: list[Example] = field(default_factory=list)
    group_keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Example id to the values that tie it to other rows."""
    shortened: dict[str, set[str]] = field(default_factory=dict)
    """Field to the ids of the examples in which it was cut."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason to count."""
    read_count: int = 0
    """Rows there were, each turn and each unpivoted column counted."""
    unselected_count: int = 0
    """Of them those that ``where`` does not ask for."""


def examples_of(raw_rows: Iterable[RawRow], task: Task) -> Rows:
    """Read examples in order; a row that breaks the task's rules raises a UserError with file and row."""
    rows, with_places = Rows(), False
    if task.options is not None:
        raw_rows = list(raw_rows)
        with_places = _has_places(raw_rows, task.options.column, task)
    seen: dict[tuple[str, str], int] = {}
    is_whole = task.turns is None and task.unpivot is None
    for raw in raw_rows:
        row_id = _own_id(raw, task.id, seen) if task.id else str(raw.number)
        parts = [("", raw)] if is_whole else [pair for turn in _turns(raw, task) for pair in _unpivoted(*turn, task)]
        for suffix, row in parts:
            rows.read_count += 1
            if all(row.text(column) in values for column, values in task.where.items()):
                _add(rows, _with_text(row, task) if with_places else row, f"{raw.file}:{row_id}{suffix}", task)
            else:
                rows.unselected_count += 1
    return rows


def _own_id(raw: RawRow, column: str, seen: dict[tuple[str, str], int]) -> str:
    """Return the id that a row's column gives it; none, or one that another row was ``seen`` to have, is an error."""
    row_id = raw.text(column)
    if (first := seen.setdefault((raw.file, row_id), raw.number)) != raw.number or not row_id:
        what = f"the id {row_id!r} is also that of row {first}" if row_id else f"column {column!r} is empty"
        raise UserError(f"{raw.place}: {what}; ids must be unique, or leave `id` out to number the rows")
    return row_id


def _has_places(raw_rows: Sequence[RawRow], options: str, task: Task) -> bool:
    """Whether targets are places among lists of options: whole numbers from 0 or letters that are no option's text.

    Decided over all rows, since 2 may be the third option of one row and the text of an option of another.
    """
    place_count = text_count = 0
    for raw in raw_rows:
        try:
            target, listed = raw.value(task.target.column), raw.value(options)
        except UserError:  # said of the rows that are asked, when they are read
            continue
        if isinstance(listed, list) and _place(target) is not None:
            place_count += 1
            text_count += str(target) in (task.answers or map(str, listed))
    is_plain = not task.target.map and task.target.above is None
    return is_plain and place_count > 2 * text_count


def _place(target: object) -> int | None:
    if isinstance(target, str) and len(target) == 1 and "A" <= target <= "Z":
        return ord(target) - ord("A")
    return target if isinstance(target, int) and not isinstance(target, bool) else None


def _with_text(row: RawRow, task: Task) -> RawRow:
    """Return a row with what its target's place among the options stands for."""
    assert task.options is not None
    place, listed = _place(row.value(task.target.column)), row.value(task.options.column)
    if place is None or not isinstance(listed, list):
        return row
    answers = task.answers or listed
    if not 0 <= place < len(listed) or place >= len(answers):
        raise UserError(
            f"{row.place}, column {task.target.column!r}: {row.value(task.target.column)!r} is no place among "
            f"{len(listed)} options, which are counted from 0 (or A); correct it, or write the option's text"
        )
    return replace(row, values={**row.values, task.target.column: answers[place]})


def with_groups(parts: Iterable[Rows]) -> None:
    """Name each example's group: rows are of one group when shared keys connect them, also through other rows."""
    parts = list(parts)
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for rows in parts:
        for keys in rows.group_keys.values():
            for key in keys[1:]:
                # The smaller name wins, so that a group's name does not depend on the order of the rows.
                low, high = sorted((root(keys[0]), root(key)))
                parent[high] = low
    for rows in parts:
        if rows.group_keys:
            rows.examples = [replace(row, group=root(rows.group_keys[row.id][0])) for row in rows.examples]


def _turns(raw: RawRow, task: Task) -> Iterator[tuple[str, RawRow]]:
    if task.turns is None:
        yield "", raw
        return
    lists = {name: raw.value(column.column) for name, column in task.turns.columns.items()}
    counts = [len(entries) if isinstance(entries, list) else None for entries in lists.values()]
    if None in counts or len(set(counts)) > 1:
        raise UserError(f"{raw.place}: the columns of `turns` are not lists of one length: {', '.join(lists)}")
    form, said = Template(task.turns.form), ""
    for number in range(counts[0] or 0):
        places = {name: f"{column.column}.{number}" for name, column in task.turns.columns.items()}
        turn = {name: _cleaned_at(raw, places[name], column) for name, column in task.turns.columns.items()}
        yield f"/{number + 1}", replace(raw, values={**raw.values, **turn, task.turns.previous: said})
        said += form.render(turn)


def _unpivoted(suffix: str, raw: RawRow, task: Task) -> Iterator[tuple[str, RawRow]]:
    if task.unpivot is None:
        yield suffix, raw
        return
    for column, label in task.unpivot.columns.items():
        added: Mapping[str, object] = {task.unpivot.value: raw.value(column), task.unpivot.name: label}
        yield f"{suffix}/{column}", replace(raw, values={**raw.values, **added})


def _add(rows: Rows, row: RawRow, row_id: str, task: Task) -> None:
    fields = {name: _cleaned(row, column) for name, column in task.columns.items()}
    target, reason = _target(row, task)
    options: tuple[str, ...] = ()
    if task.options is not None:
        options = _options(row, task.options)
        reason = reason or _fault(options, target, task)
    if reason:
        rows.dropped[reason] += 1
        return
    for name, limit in task.field_limits.items():
        words = fields[name].split()
        if len(words) < limit.least:
            rows.dropped[f"{name} shorter than {limit.least} words"] += 1
            return
        if limit.words is not None and len(words) > limit.words:
            if limit.longer == "drop":
                rows.dropped[f"{name} longer than {limit.words} words"] += 1
                return
            fields[name] = " ".join(words[: limit.words])
            rows.shortened.setdefault(name, set()).add(row_id)
    for name, part in task.must_contain.items():
        if f" {_words(fields[part])} " not in f" {_words(fields[name])} ":
            rows.dropped[f"{part} does not occur in {name}"] += 1
            return
    rows.examples.append(Example(row_id, fields, target, options=options if options and task.has_own_options else ()))
    if task.group:
        rows.group_keys[row_id] = tuple(_group_key(row, key.column, key.pattern) for key in task.group)


def _cleaned(row: RawRow, column: Column) -> str:
    return _cleaned_at(row, column.column, column)


def _cleaned_at(row: RawRow, place: str, column: Column) -> str:
    value = row.values.get(place)
    if column.is_plain and isinstance(value, str) and value.isascii():  # as nearly all are
        return value.strip() if column.strip else value
    value = row.value(place)
    if column.first and isinstance(value, list):
        value = value[0] if value else None
    text = _as_lines(row, place, value) if column.lines else row.as_text(place, value)
    for other, before in column.followed_by.items():
        if following := row.text(other):
            text += before + following
    for pattern, replacement in column.replace:
        text = re.sub(pattern, replacement, text)
    return text.strip() if column.strip else text


def _as_lines(row: RawRow, place: str, value: object) -> str:
    if not isinstance(value, Mapping):
        raise UserError(f"{row.place}, column {place!r} holds no mapping to write as lines; remove `lines`")
    lines = []
    for key, entry in value.items():
        entries = entry.items() if isinstance(entry, Mapping) else [("", entry)]
        texts = [f"{name} = {row.as_text(place, item)}" if name else row.as_text(place, item) for name, item in entries]
        lines.append(f"{key}: {'; '.join(texts)}")
    return "\n".join(lines)


def _target(row: RawRow, task: Task) -> tuple[str, str]:
    """Return the target, or the reason why the row is dropped."""
    rule = task.target
    text = _cleaned(row, rule)
    if not text.strip():
        raise UserError(f"{row.place} has no target: column {rule.column!r} is empty; fill it in or delete the row")
    if rule.above is not None:
        number = _number(row, rule.column, text)
        if rule.drop_between and rule.drop_between[0] <= number <= rule.drop_between[1]:
            return "", f"{rule.column} between {rule.drop_between[0]:g} and {rule.drop_between[1]:g}"
        target = rule.then if number > rule.above else rule.otherwise
        if rule.below is not None and number < rule.below:
            target = rule.then_below
    elif rule.map and text not in rule.map and text not in task.drop_targets:
        raise UserError(
            f"{row.place}, column {rule.column!r}: {text!r} is not in the target's map; it has {', '.join(rule.map)}"
        )
    else:
        target = rule.map.get(text, text)
    if task.answers and target not in (*task.answers, *task.drop_targets):
        raise UserError(
            f"{row.place}, column {rule.column!r}: the label {target!r} is not an answer of task {task.name!r}; "
            f"expected {', '.join(task.answers)} (drop_targets lists labels to leave out)"
        )
    return target, ""


def _options(row: RawRow, rule: Options) -> tuple[str, ...]:
    value = row.value(rule.column)
    if not isinstance(value, list):
        before, *value = re.split(rule.split, _cleaned(row, rule))
        if before.strip() or not value:
            raise UserError(
                f"{row.place}, column {rule.column!r}: no option begins with what options.split says "
                f"({rule.split}); correct it"
            )
    return tuple(row.as_text(rule.column, option).strip() for option in value)


def _fault(options: tuple[str, ...], target: str, task: Task) -> str:
    """Return why a row's options cannot be asked; empty when they can, or when the task has none."""
    if task.options is None or target in task.drop_targets:
        return ""
    if len(set(options)) < len(options) or "" in options:
        return "an option is empty or comes twice"
    count = len(task.answers) or task.options.count
    if count and len(options) != count:
        return f"not {count} options"
    if task.answers:
        return ""
    return "" if target in options and len(options) > 1 else "the target is not among the options"


def _number(row: RawRow, column: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{row.place}, column {column!r}: {text!r} is not a number; the target's threshold needs one")
    return number


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", normalised(text)))


def _group_key(row: RawRow, column: str, pattern: str | None) -> str:
    text = row.text(column)
    if pattern and (match := re.search(pattern, text)):
        text = match.group()
    # Only equality matters, and a short name keeps passages out of records.
    return hashlib.sha256(normalised(text).encode()).hexdigest()[:16]
