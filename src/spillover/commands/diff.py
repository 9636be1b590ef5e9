"""The command `diff`: in which cells and items two variants differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.commands.arguments import AsJson, FromFolder, Precision, StorePath, StudyPath
from spillover.commands.show import Only, variant_names
from spillover.commands.terminal import terminal
from spillover.errors import UserError, unknown_name

if TYPE_CHECKING:
    from rich.text import Text

    from spillover.analysis.comparison import CellDifference, Comparison
    from spillover.records import CellChanges, ItemChange
    from spillover.store.store import Store
    from spillover.study.study import Study

commands = typer.Typer()

VARIANT = "A variant's id, a recipe's name for all its variants, or base."


Variant = Annotated[str, typer.Argument(help=VARIANT, show_default=False, autocompletion=variant_names)]


@commands.command()
def diff(
    study_file: StudyPath,
    variant_a: Variant,
    variant_b: Variant,
    store: StorePath = Path("store"),
    folder: FromFolder = None,
    precision: Precision = None,
    only: Annotated[Only | None, typer.Option("--only", help="Items that B has worse than A, or better.")] = None,
    task: Annotated[list[str] | None, typer.Option("--task", help="A tested task; may be repeated.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="The most items a cell and direction.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Compare two variants cell by cell: B less A on the same items, and the items that changed."""
    from spillover.analysis.comparison import compare
    from spillover.records import Relation
    from spillover.store.store import Store
    from spillover.study.results import collect

    study, kept = terminal.study(study_file, folder, precision), Store(store)
    tested = [tested.name for tested in study.test_on]
    for name in task or ():
        if name not in tested:
            raise unknown_name("tested task", name, tested)
    unfinished = {step.variant for step in study.models if not kept.has(step)}
    for name in (variant_a, variant_b):
        if name in unfinished:
            raise UserError(f"variant {name!r} is not finished in {store}; go on with: spillover run {study_file}")
    compared = compare(collect(study, kept, command=f"spillover run {study_file}"), variant_a, variant_b)
    cells = [row for row in compared.cells if not task or row.cell.tested_on in task]
    cells.sort(key=lambda row: list(Relation).index(row.relation))
    changes = _changes(study, kept, cells, limit)
    if as_json:
        terminal.json(
            {
                **asdict(compared),
                "cells": [{**asdict(row), **_plain(found, only)} for row, found in zip(cells, changes, strict=True)],
            }
        )
        return
    _print_cells(compared, cells, changes)
    for row, found in zip(cells, changes, strict=True):
        _print_items(row, found, only)


def _changes(study: Study, store: Store, cells: Sequence[CellDifference], most: int) -> list[CellChanges]:
    from spillover.study.items import ItemReader

    steps = {(step.predictions.model, step.predictions.cell): step for step in study.scores}
    reader = ItemReader(store)
    return [reader.changes(steps[row.first, row.cell], steps[row.second, row.cell], most=most) for row in cells]


def _directions(found: CellChanges, only: Only | None) -> list[tuple[Only, tuple[ItemChange, ...], int]]:
    """Return the shown items of each direction that is asked for, and how many there are."""
    both = [
        (Only.REGRESSIONS, found.regressions, found.regression_count),
        (Only.GAINS, found.gains, found.gain_count),
    ]
    return [row for row in both if only in (None, row[0])]


def _plain(found: CellChanges, only: Only | None) -> dict[str, object]:
    plain: dict[str, object] = {}
    for name, items, count in _directions(found, only):
        # In a record of changes the one compared with is called the base.
        plain[name] = [
            {"item": asdict(change.item), "first": asdict(change.base), "second": asdict(change.variant)}
            for change in items
        ]
        plain[f"{name.removesuffix('s')}_count"] = count
    return plain


def _print_cells(compared: Comparison, cells: Sequence[CellDifference], changes: Sequence[CellChanges]) -> None:
    from rich.text import Text

    from spillover.analysis.wording import interval_words, plain, signed

    header = ("tested on", "shots", "metric", "A", "B", "B - A", "interval", "▼", "▲")
    for first, second in dict.fromkeys((row.first, row.second) for row in cells):
        terminal.say(
            f"A = {first}, B = {second}: B less A, {compared.level:.0%} paired intervals; items worse ▼, better ▲"
        )
        rows: list[tuple[str | Text, ...]] = []
        relation = None
        for row, found in zip(cells, changes, strict=True):
            if (row.first, row.second) != (first, second):
                continue
            if row.relation != relation:
                relation = row.relation
                rows.append((Text(relation, style="bold"),))
            numbers = (plain(row.first_value), plain(row.second_value), signed(row.difference))
            changed = (str(found.regression_count), str(found.gain_count))
            interval = interval_words(row.low, row.high)
            rows.append((row.cell.tested_on, _condition(row), row.metric, *numbers, interval, *changed))
        terminal.table(header, rows)
    if len(compared.cells) == len(cells):
        means = [
            (
                row.relation,
                row.kind,
                str(row.cell_count),
                signed(row.difference),
                interval_words(row.low, row.high),
                str(row.seed_count),
            )
            for row in compared.relations
        ]
        terminal.table(("mean over", "metric", "cells", "B - A", "interval", "training seeds"), means)


def _condition(row: CellDifference) -> str:
    cell = row.cell
    form = f", form {cell.prompt_form}" if cell.prompt_form != 1 else ""
    return f"{cell.shots}{form}{f', seed {cell.demonstration_seed}' if cell.demonstration_seed else ''}"


def _print_items(row: CellDifference, found: CellChanges, only: Only | None) -> None:
    from rich.text import Text

    from spillover.report.text import printable

    for name, items, count in _directions(found, only):
        if not items:
            continue
        style = "red" if name is Only.REGRESSIONS else "green"
        title = f"{row.second} on {row.cell.tested_on} at {_condition(row)} shots: {len(items)} of {count} {name}"
        terminal.out.print(Text(printable(title), style=f"bold {style}"))
        for change in items:
            terminal.out.print(
                Text.assemble(
                    f"  {printable(change.item.example_id)}  …{printable(change.item.prompt[-100:])}\n",
                    f"    target {printable(change.item.target)}; A: {printable(change.base.text)}; ",
                    (f"B: {printable(change.variant.text)}", style),
                )
            )
