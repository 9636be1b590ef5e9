"""The command `lint`: faults of a study's protocol, where they are, why they matter and how to mend them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer
from rich.padding import Padding
from rich.text import Text

from spillover.commands.arguments import AsJson, FromFolder, Precision, StorePath, StudyPath, TrustTaskCode
from spillover.commands.terminal import terminal
from spillover.errors import UserError

COLOURS = {"error": "bold red", "warning": "yellow", "note": "blue"}


commands = typer.Typer()


@commands.command()
def lint(
    study_file: StudyPath,
    store: StorePath = Path("store"),
    folder: FromFolder = None,
    precision: Precision = None,
    trusted: TrustTaskCode = None,
    as_json: AsJson = False,
) -> None:
    """Find faults of a study's protocol before compute is spent; exit 2 if `run` would refuse it."""
    from spillover.lint.lint import lint as findings_of
    from spillover.steps.workshop import Workshop
    from spillover.store.store import Store
    from spillover.tasks.collection import no_collection

    kept = Store(store)
    study = terminal.study(study_file, folder, precision, trusted)
    with no_collection():
        findings = findings_of(study, kept, Workshop(kept, notice=terminal.notice))
    if as_json:
        terminal.json([asdict(finding) for finding in findings])
    else:
        out = terminal.out
        for found in findings:
            colour = COLOURS[found.severity]
            out.print(Text.assemble((found.severity, colour), f" {found.where}: {found.what} ({found.check})"))
            out.print(Padding(Text(f"why: {found.why}\nmend: {found.mend}"), (0, 0, 0, 2), expand=False))
        counts = [f"{severity}s: {sum(found.severity == severity for found in findings)}" for severity in COLOURS]
        out.print(", ".join(counts), highlight=False)
    if errors := sum(found.severity == "error" for found in findings):
        raise UserError(f"{study_file}: {errors} errors; `spillover run` refuses it until they are mended")
