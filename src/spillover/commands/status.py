"""The command `status`: how much of a study is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from spillover.commands.arguments import AsJson, FromFolder, Precision, StorePath, StudyPath
from spillover.commands.terminal import terminal
from spillover.errors import UserError

if TYPE_CHECKING:
    from spillover.study.study import Study

commands = typer.Typer()


@commands.command()
def status(
    study_file: StudyPath,
    store: StorePath = Path("store"),
    folder: FromFolder = None,
    precision: Precision = None,
    as_json: AsJson = False,
) -> None:
    """Count what is done, by kind of step."""
    study = terminal.study(study_file, folder, precision)
    counts = step_counts(study, store)
    if as_json:
        terminal.json({"study": study.name, "steps": counts})
        return
    rows = [(kind, *map(str, count.values())) for kind, count in counts.items()]
    terminal.table(("kind", "done", "to do"), rows)


def step_counts(study: Study, store: Path) -> dict[str, dict[str, int]]:
    """Return kind of step to how many are done and to do."""
    from spillover.store.store import Store
    from spillover.study.runner import missing_steps

    if store.exists() and not store.is_dir():
        raise UserError(f"{store}: is a file, not a store; name the folder with --store")
    todo = {step.key for step in missing_steps(study, Store(store))}
    counts = {}
    for kind in dict.fromkeys(step.kind for step in study.steps):
        keys = [step.key for step in study.steps if step.kind == kind]
        missing = sum(key in todo for key in keys)
        counts[kind] = {"done": len(keys) - missing, "to_do": missing}
    return counts
