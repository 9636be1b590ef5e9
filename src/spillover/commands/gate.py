"""The command `gate`: pass, fail or undecided, for a pipeline that ships a fine-tune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spillover.commands.arguments import AsJson, FromFolder, StorePath
from spillover.commands.terminal import terminal

commands = typer.Typer()


@commands.command()
def gate(
    source: Annotated[Path, typer.Argument(help="A study file, or the summary.json of a report.", show_default=False)],
    max_loss: Annotated[
        list[str] | None,
        typer.Option("--max-loss", help="0.05, or NAME=0.1 of a relation, kind of metric or task; may be repeated."),
    ] = None,
    max_task_loss: Annotated[
        float | None, typer.Option("--max-task-loss", help="What every single task may lose.")
    ] = None,
    undecided: Annotated[
        str | None, typer.Option("--undecided", help="What an undecided check counts as: fail or pass.")
    ] = None,
    rules: Annotated[
        Path | None, typer.Option("--rules", help="A YAML file of max_loss, max_task_loss, named and undecided.")
    ] = None,
    variant: Annotated[
        list[str] | None, typer.Option("--variant", help="A variant's id or name; may be repeated; default: all.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="The summary.json of the last release; losses are from it.")
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML here.")] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", help="Append Markdown here, as $GITHUB_STEP_SUMMARY wants it.")
    ] = None,
    store: StorePath = Path("store"),
    folder: FromFolder = None,
    as_json: AsJson = False,
) -> None:
    """Say whether variants may pass: exit 0 when none lost more than allowed, 3 when one did, 4 when undecided."""
    from spillover.analysis.gate import overall, overview
    from spillover.commands import gating

    rule = gating.rule(rules, max_loss or (), max_task_loss, undecided)
    found = gating.checked(source, rule, variant or (), baseline, store=store, folder=folder)
    outcome = overall(found)
    if junit:
        gating.write(junit, gating.junit(source, found), mode="w")
    if markdown_file:
        gating.write(markdown_file, gating.step_summary(source, found), mode="a")
    if as_json:
        terminal.json(gating.plain_outcome(found))
    else:
        for line in overview(found):
            terminal.say(line)
    if gating.EXITS[outcome]:
        raise typer.Exit(gating.EXITS[outcome])
