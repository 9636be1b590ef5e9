"""The command `show`: the items of one cell with their prompts, and what base and variant answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.commands.arguments import AsJson, FromFolder, Precision, StorePath, StudyPath
from spillover.commands.terminal import terminal
from spillover.errors import SpilloverError, UserError, unknown_name

if TYPE_CHECKING:
    from rich.text import Text

    from spillover.records import ItemAnswer
    from spillover.study.cell_items import CellItem, CellItems

commands = typer.Typer()

CELL = (
    "variant:task:shots[:form[:demonstration_seed[:ask]]]; parts of which there is only one may be left out, and a "
    "recipe's name stands for its only variant."
)


class Only(StrEnum):
    """Which items are shown."""

    REGRESSIONS = "regressions"
    GAINS = "gains"


def cell_names(context: typer.Context, incomplete: str) -> list[str]:
    """Complete a cell's name from the study file and the store given before it; without a store, nothing."""
    from spillover.config import load_study
    from spillover.study.cells import cell_name

    given = context.params
    if not Path(given["store"]).is_dir():  # reading a study that never ran may fetch its model
        return []
    try:
        study = load_study(Path(given["study_file"]), cache=terminal.cache(), notice=lambda _: None)
    except SpilloverError:
        return []
    return [name for step in study.scores if (name := cell_name(study, step)).startswith(incomplete)]


def variant_names(context: typer.Context, incomplete: str) -> list[str]:
    """Complete a variant's id from the study file and the store given before it."""
    names = dict.fromkeys(name.partition(":")[0] for name in cell_names(context, ""))
    return [name for name in names if name.startswith(incomplete)]


@commands.command()
def show(
    study_file: StudyPath,
    cell: Annotated[str, typer.Argument(help=CELL, show_default=False, autocompletion=cell_names)],
    store: StorePath = Path("store"),
    folder: FromFolder = None,
    precision: Precision = None,
    only: Annotated[Only | None, typer.Option("--only", help="Items that the variant lost, or won.")] = None,
    item: Annotated[list[str] | None, typer.Option("--item", help="An item's id; may be repeated.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="The most items; 0 shows all.")] = 10,
    token_ids: Annotated[bool, typer.Option("--token-ids", help="Show each prompt's token ids.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the items of a cell: prompt, target, and the answers of base and variant."""
    from spillover.store.store import Store
    from spillover.study.cell_items import read_cell_items
    from spillover.study.cells import find_score

    study = terminal.study(study_file, folder, precision)
    found = read_cell_items(study, Store(store), find_score(study, cell))
    items = chosen_items(found, only, item or ())
    shown = items[: limit or None]
    if as_json:
        terminal.json(plain_items(found, shown, len(items)))
    else:
        _print(found, shown, len(items), token_ids=token_ids)


def chosen_items(found: CellItems, only: Only | None, names: Sequence[str] = ()) -> list[CellItem]:
    """Return the items of a cell that were lost, or won, or are named; all of them without a choice."""
    items = list(found.items)
    if unknown := set(names) - {row.asked.example_id for row in items}:
        raise unknown_name("item of the cell", min(unknown), [row.asked.example_id for row in items])
    if only and not found.has_variant:
        raise UserError("--only compares a variant with the base; name a variant's cell")
    if names:
        items = [row for row in items if row.asked.example_id in names]
    if only:
        items = [row for row in items if (row.change < 0 if only is Only.REGRESSIONS else row.change > 0)]
    return items


def plain_items(found: CellItems, shown: Sequence[CellItem], count: int) -> dict[str, object]:
    """Return some of a cell's ``count`` chosen items for programs."""
    facts = {"variant": found.variant, **asdict(found.cell), "metric": found.metric, "item_count": count}
    return {**facts, "items": [_plain(row) for row in shown]}


def _plain(row: CellItem) -> dict[str, object]:
    """Return an item as plain data."""
    answers = {"base": asdict(row.base), "variant": asdict(row.variant) if row.variant else None}
    return {**asdict(row.asked), **answers}


def _print(found: CellItems, items: list[CellItem], count: int, *, token_ids: bool) -> None:
    """Print items, what their prompts begin with once."""
    from rich.rule import Rule
    from rich.text import Text

    from spillover.report.text import printable, printable_lines

    cell = found.cell
    terminal.say(
        f"{printable(found.variant)} on {printable(cell.tested_on)} at {cell.shots} shots (form {cell.prompt_form}, "
        f"demonstration seed {cell.demonstration_seed}): {len(items)} of {count} items, scored by {found.metric}"
    )
    shared = _shared_start([row.asked.prompt for row in items])
    if shared:
        terminal.out.print(Rule(Text("every prompt begins", style="dim"), align="left"))
        terminal.out.print(Text(printable_lines(shared), style="dim"))
    for row in items:
        terminal.out.print(Rule(Text(printable(row.asked.example_id), style="bold"), align="left"))
        terminal.out.print(Text(printable_lines(row.asked.prompt[len(shared) :])))
        if token_ids:
            ids = row.asked.token_ids
            words = "were not kept" if ids is None else " ".join(map(str, ids))
            terminal.out.print(Text(f"token ids: {words}", style="dim"))
        terminal.out.print(Text.assemble(("target:  ", "bold"), printable_lines(row.asked.target)))
        terminal.out.print(_answer("base", row.base, row.asked.options))
        if row.variant:
            terminal.out.print(_answer("variant", row.variant, row.asked.options, row.change))


def _shared_start(prompts: list[str]) -> str:
    """Return the whole lines that several prompts begin with."""
    if len(prompts) < 2:
        return ""
    columns = zip(*(prompt.splitlines(keepends=True)[:-1] for prompt in prompts), strict=False)
    return "".join(column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns))


def _answer(who: str, answer: ItemAnswer, options: tuple[str, ...], change: float = 0) -> Text:
    from rich.text import Text

    from spillover.report.text import printable, printable_lines

    style, mark = ("red", " ▼") if change < 0 else ("green", " ▲") if change > 0 else ("", "")
    shares = ", ".join(f"{printable(name)} {share:.0%}" for name, share in zip(options, answer.shares, strict=False))
    words = f"{printable_lines(answer.text)}  (score {answer.score:.2f}{f'; {shares}' if shares else ''}){mark}"
    return Text.assemble((f"{who + ':':<9}", "bold"), (words, style))
