"""The command `export`: a variant's whole model as a folder that any program can load."""

from pathlib import Path
from typing import Annotated

import typer

from spillover.commands.arguments import FromFolder, StorePath
from spillover.commands.terminal import terminal

commands = typer.Typer()


@commands.command()
def export(
    variant: Annotated[str, typer.Argument(help="A variant's id, as the report names it.")],
    study_file: Annotated[Path, typer.Option("--study", help="The study file.", show_default=False)],
    to: Annotated[Path, typer.Option("--to", help="A new folder.", show_default=False)],
    store: StorePath = Path("store"),
    folder: FromFolder = None,
) -> None:
    """Write a variant's whole model, an adapter merged after proving that merging changes nothing."""
    from spillover.store.store import Store
    from spillover.study.export import export as export_variant

    gap = export_variant(terminal.study(study_file, folder), Store(store), variant, to)
    terminal.say(f"{to}: whole model in float32; merging moved no logit by more than {gap:.1g}")
