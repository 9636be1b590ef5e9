"""The command `export`: a variant's whole model as a folder that any program can load."""

from pathlib import Path
from typing import Annotated

import typer

from spillover.commands.arguments import FromFolder, Precision, StorePath, StudyPath
from spillover.commands.show import variant_names
from spillover.commands.terminal import terminal
from spillover.errors import UserError

commands = typer.Typer()

VARIANT = "A variant's id, or a recipe's name where it has one variant."


@commands.command()
def export(
    study_file: StudyPath,
    variant: Annotated[str, typer.Argument(help=VARIANT, show_default=False, autocompletion=variant_names)] = "",
    to: Annotated[Path | None, typer.Option("--to", help="A new folder.", show_default=False)] = None,
    store: StorePath = Path("store"),
    folder: FromFolder = None,
    precision: Precision = None,
    named_study: Annotated[str, typer.Option("--study", hidden=True)] = "",
) -> None:
    """Write a variant's whole model, an adapter merged after proving that merging changes nothing."""
    from spillover.store.store import Store
    from spillover.study.cells import variant_id
    from spillover.study.export import export as export_variant

    if named_study or not variant or to is None:
        raise UserError("the study comes first: spillover export STUDY VARIANT --to FOLDER")
    study = terminal.study(study_file, folder, precision)
    gap = export_variant(study, Store(store), variant_id(study, variant), to)
    terminal.say(f"{to}: whole model in float32; merging moved no logit by more than {gap:.1g}")
