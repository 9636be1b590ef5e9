"""The command `lint`: faults of a study's protocol, where they are, why they matter and how to mend them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from spillover.commands.arguments import TrustTaskCode
from spillover.errors import UserError, without_credentials

if TYPE_CHECKING:
    from spillover.study.study import Study

COLOURS = {"error": "bold red", "warning": "yellow", "note": "blue"}


def add_lint(
    app: typer.Typer,
    out: Console,
    read_study: Callable[[Path, Path | None, list[Path] | None], Study],
    notice: Callable[[str], None],
) -> None:
    """Add the command; ``read_study`` takes a study file and what ``--from`` and ``--trust-task-code`` say."""

    @app.command()
    def lint(
        study_file: Annotated[Path, typer.Argument(help="The study file.", show_default=False)],
        store: Annotated[Path, typer.Option("--store", help="Where finished steps are kept.")] = Path("store"),
        folder: Annotated[
            Path | None, typer.Option("--from", help="A folder with the suite's release or with downloaded archives.")
        ] = None,
        trusted: TrustTaskCode = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    ) -> None:
        """Find faults of a study's protocol before compute is spent; exit 2 if `run` would refuse it."""
        from spillover.steps.workshop import Workshop
        from spillover.store.store import Store
        from spillover.study.lint import lint as findings_of

        kept = Store(store)
        findings = findings_of(read_study(study_file, folder, trusted), kept, Workshop(kept, notice=notice))
        if as_json:
            typer.echo(without_credentials(json.dumps([asdict(finding) for finding in findings], indent=2)))
        else:
            for found in findings:
                colour = COLOURS[found.severity]
                out.print(Text.assemble((found.severity, colour), f" {found.where}: {found.what} ({found.check})"))
                out.print(Padding(Text(f"why: {found.why}\nmend: {found.mend}"), (0, 0, 0, 2), expand=False))
            counts = [f"{severity}s: {sum(found.severity == severity for found in findings)}" for severity in COLOURS]
            out.print(", ".join(counts), highlight=False)
        if errors := sum(found.severity == "error" for found in findings):
            raise UserError(f"{study_file}: {errors} errors; `spillover run` refuses it until they are mended")
