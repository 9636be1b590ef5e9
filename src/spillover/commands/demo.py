"""The command `demo`: the study of the quickstart, written here as a file, run and reported."""

from importlib import resources
from pathlib import Path

import typer

from spillover.commands.arguments import Device, Precision, ReportPath, StorePath, Threads
from spillover.commands.terminal import terminal
from spillover.errors import UserError

commands = typer.Typer()

STUDY = "quickstart.yaml"


@commands.command()
def demo(
    store: StorePath = Path("store"),
    report_folder: ReportPath = None,
    threads: Threads = 1,
    device: Device = "auto",
    precision: Precision = None,
) -> None:
    """Fine-tune two variants of a small model and report what they lost: minutes on a processor, seconds again."""
    from spillover.completion import RunOptions
    from spillover.store.store import Store

    study_file, kept = written_study(Path()), Store(store)
    study = terminal.study(study_file, None, precision)
    place = terminal.place(study, report_folder)
    failed = terminal.compute(study, kept, RunOptions(device=lambda: terminal.device(device, threads)))
    command = f"spillover demo --precision {study.precision}"
    terminal.finish(failed, lambda: terminal.report(study, kept, place, command))
    terminal.say(f"study: {study_file}; change it, then: spillover run {study_file}")


def written_study(folder: Path) -> Path:
    """Write the demo's study into a folder, unless it is there, and return its file.

    Raises:
        UserError: If another study has its name.
    """
    text = resources.files("spillover.commands").joinpath(STUDY).read_text(encoding="utf-8")
    path = folder / STUDY
    try:
        if not path.exists():
            path.write_text(text, encoding="utf-8")
        if path.read_text(encoding="utf-8") == text:
            return path
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; go to a folder of your own") from None
    raise UserError(f"{path} is not the demo's any more; run it with: spillover run {path}, or go to another folder")
