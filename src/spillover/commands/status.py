"""The command `status`: how much of a study is done."""

from pathlib import Path

import typer

from spillover.commands.arguments import AsJson, FromFolder, Precision, StorePath, StudyPath
from spillover.commands.terminal import terminal

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
    from spillover.store.store import Store
    from spillover.study.runner import missing_steps

    study = terminal.study(study_file, folder, precision)
    todo = {step.key for step in missing_steps(study, Store(store))}
    counts = {}
    for kind in dict.fromkeys(step.kind for step in study.steps):
        keys = [step.key for step in study.steps if step.kind == kind]
        missing = sum(key in todo for key in keys)
        counts[kind] = {"done": len(keys) - missing, "to_do": missing}
    if as_json:
        terminal.json({"study": study.name, "steps": counts})
        return
    rows = [(kind, *map(str, count.values())) for kind, count in counts.items()]
    terminal.table(("kind", "done", "to do"), rows)
