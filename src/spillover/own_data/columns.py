"""Says what a user's columns are taken as and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spillover.own_data.look import HARDLY_REPEATED, INPUT_NAMES, PAIRS, TARGET_NAMES, Table, plain_values
from spillover.statistics.resampled import MINIMUM_UNIT_COUNT

TEXT_WORDS = 4
"""Words of a value on average from which a column is text that a model could read."""
OPTIONAL_SHARE = 0.05
"""Share of rows without a value from which a second input is one that a row may lack; fewer are faults of the file."""


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """What a column is taken as."""

    name: str
    role: str
    """``input``, ``target``, ``group``, ``options`` or ``ignored``."""
    why: str


def column_uses(
    table: Table, inputs: Sequence[str], target: str, *, group: str, options: str, given: Iterable[str]
) -> tuple[ColumnUse, ...]:
    """Return what every column of a table is taken as, in the order of the file.

    Args:
        table: The user's rows.
        inputs: The columns of the input.
        target: The column of the answer.
        group: The column whose equal values keep rows together; empty without one.
        options: Where each row lists the options of its target; empty without them.
        given: Columns that the user named.
    """
    named = set(given)

    def use(name: str) -> ColumnUse:
        if name in (*inputs, target, group) and name in named:
            role = "input" if name in inputs else "target" if name == target else "group"
            return ColumnUse(name, role, "you named it")
        if name == target:
            return ColumnUse(name, "target", _why_target(table, name))
        if name in inputs:
            return ColumnUse(name, "input", _why_input(name, inputs))
        if name in (options, options.partition(".")[0]):
            return ColumnUse(name, "options", "each row's list has its target")
        return ColumnUse(name, "ignored", _why_ignored(table, name))

    return tuple(map(use, table.columns))


def second_texts(table: Table, uses: Sequence[ColumnUse]) -> list[str]:
    """Return the ignored columns that hold texts."""
    return [use.name for use in uses if use.role == "ignored" and _is_text(plain_values(table, use.name))]


def _why_target(table: Table, name: str) -> str:
    if name.casefold() in TARGET_NAMES:
        return "its name"
    values = plain_values(table, name)
    return (
        "the shortest of the texts" if len(set(values)) > HARDLY_REPEATED * len(values) else "fewest different values"
    )


def _why_input(name: str, inputs: Sequence[str]) -> str:
    if tuple(column.casefold() for column in inputs) in PAIRS:
        return "names that belong together"
    return "its name" if name.casefold() in INPUT_NAMES else "the longest texts"


def _why_ignored(table: Table, name: str) -> str:
    values = plain_values(table, name)
    different = len(set(values))
    if any(isinstance(row.values.get(name), list | dict) for row in table.rows):
        return "holds lists, which are no text"
    if different == 1:
        return f"{values[0][:40]!r} in every row" if values[0] else "empty"
    if _is_text(values):
        return f"a text too; --input {name!r} beside the others takes it as well"
    if different == len(values):
        return "another value in every row, as of row numbers"
    if different < MINIMUM_UNIT_COUNT:
        return f"{different} different values"
    return f"{different} different values; --group {name!r} keeps rows of one value together"


def _is_text(values: Sequence[str]) -> bool:
    is_varied = len(set(values)) > len(values) / 2
    return is_varied and sum(value.count(" ") for value in values) >= (TEXT_WORDS - 1) * len(values)
