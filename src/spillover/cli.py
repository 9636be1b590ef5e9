"""The command line: arguments to one call, user mistakes to one line and exit 2."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.commands import (
    assistant,
    card,
    catalogue,
    demo,
    diff,
    export,
    foreign,
    gate,
    lint,
    schema,
    show,
    status,
)
from spillover.commands.arguments import (
    AsJson,
    Budget,
    Device,
    FromFolder,
    GpuShare,
    Precision,
    ReportPath,
    StorePath,
    StudyPath,
    SummaryAsJson,
    Threads,
    Track,
    TrustTaskCode,
)
from spillover.commands.evaluate import add_evaluate
from spillover.commands.init import add_init
from spillover.commands.terminal import DONE, FAILED, INTERRUPTED, USER_MISTAKE, terminal
from spillover.errors import SpilloverError, UserError
from spillover.models.memory import GPU_SHARE
from spillover.report.formats import USUAL, Format

if TYPE_CHECKING:
    from spillover.study.study import Study
    from spillover.training.processes import Crew

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"spillover {version('spillover')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What does fine-tuning an LLM do to everything it was not fine-tuned on, and which recipe keeps the most?"""


@app.command()
def run(
    study_file: StudyPath,
    store: StorePath = Path("store"),
    report_folder: ReportPath = None,
    folder: FromFolder = None,
    precision: Precision = None,
    threads: Threads = None,
    device: Device = "auto",
    gpu_share: GpuShare = GPU_SHARE,
    budget: Budget = None,
    check: Annotated[bool, typer.Option("--lint/--no-lint", help="Refuse faults that `spillover lint` finds.")] = True,
    track: Track = None,
    trusted: TrustTaskCode = None,
    as_json: SummaryAsJson = False,
) -> None:
    """Do whatever is missing of a study, then write its report."""
    from spillover.completion import RunOptions, tracking_of
    from spillover.store.store import Store
    from spillover.study.halving import budget_seconds

    seconds, kept = budget_seconds(budget) if budget else None, Store(store)
    with _crew(device, threads) as crew:
        if crew and not crew.leads:
            from spillover.study.follow import follow

            follow(crew, lambda: terminal.study(study_file, folder, precision, trusted), kept)
            return
        study = terminal.study(study_file, folder, precision, trusted)
        place = terminal.place(study, report_folder)
        failed = terminal.compute(
            study,
            kept,
            RunOptions(
                device=lambda: crew.device if crew else terminal.device(device, threads),
                announce=crew.announce if crew else None,
                shards=crew.shards if crew else False,
                gpu_share=gpu_share,
                seconds=seconds,
                checked=str(study_file) if check else None,
                track=track,
            ),
        )
    command = _run_command(study_file, folder, study)

    def reported() -> None:
        terminal.report(study, kept, place, command, as_json=as_json)
        if (tracking := tracking_of(study, kept, track)) and tracking.keep_page(place / Format.HTML.file_name):
            terminal.notice(f"the report's page is kept in {tracking.tracker} too")

    terminal.finish(failed, reported)


@app.command()
def plan(
    study_file: StudyPath,
    store: StorePath = Path("store"),
    folder: FromFolder = None,
    precision: Precision = None,
    threads: Threads = None,
    device: Device = "auto",
    calibration: Annotated[
        bool | None,
        typer.Option(
            "--calibration/--no-calibration",
            help="Measure again what steps take, or tell no time; default: once for a machine and base.",
            show_default=False,
        ),
    ] = None,
    with_steps: Annotated[bool, typer.Option("--steps", help="List every step.")] = False,
    trusted: TrustTaskCode = None,
    as_json: AsJson = False,
) -> None:
    """Say what is to be done, what it takes in time and disk, and how small a difference it can show."""
    from spillover.commands.plan import made_plan, plain_plan, print_plan
    from spillover.store.store import Store
    from spillover.study.machine_speed import Machine
    from spillover.tasks.collection import no_collection

    machine = None if calibration is False else Machine(device, threads, lambda: terminal.device(device, threads))
    study = terminal.study(study_file, folder, precision, trusted)
    with no_collection():
        found = made_plan(study, Store(store), machine=machine, anew=bool(calibration), notice=terminal.notice)
    if as_json:
        terminal.json(plain_plan(found))
    else:
        print_plan(found, with_steps=with_steps)


app.add_typer(status.commands)
app.add_typer(gate.commands)
app.add_typer(card.commands)
app.add_typer(assistant.commands)


@app.command()
def report(
    study_file: StudyPath,
    store: StorePath = Path("store"),
    report_folder: ReportPath = None,
    folder: FromFolder = None,
    precision: Precision = None,
    formats: Annotated[
        list[Format] | None, typer.Option("--format", help="May be repeated; default: html, md, csv and json.")
    ] = None,
    as_text: Annotated[bool, typer.Option("--text", help="Print the tables here and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON and write nothing.")] = False,
) -> None:
    """Write the report of what is in the store, without computing anything."""
    # Before NumPy is there: its products here are small, and waiting threads would burn more time than they spare.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from spillover.store.store import Store

    if as_text + as_json + bool(formats) > 1:
        raise UserError("report takes one of --text, --json and --format; leave out the others")
    study, kept = terminal.study(study_file, folder, precision), Store(store)
    command = _run_command(study_file, folder, study)
    if not as_text and not as_json:
        place = terminal.place(study, report_folder)
        terminal.report(study, kept, place, command, tuple(dict.fromkeys(formats or USUAL)))
        return
    from spillover.questions import answered
    from spillover.report.text_tables import text_report
    from spillover.report.write import summary
    from spillover.study.results import collect

    results = collect(study, kept, command=command)
    analysis = answered(results)
    if as_json:
        terminal.json(summary(results, analysis))
    else:
        for part in text_report(results, analysis, width=terminal.out.width):
            terminal.out.print(part)


add_evaluate(app, terminal)
add_init(app, terminal)
app.add_typer(lint.commands)
app.add_typer(demo.commands)
app.add_typer(show.commands)
app.add_typer(diff.commands)
app.add_typer(export.commands)
app.add_typer(schema.commands)
app.add_typer(foreign.commands)
app.add_typer(foreign.importing, name="import")
app.add_typer(catalogue.models, name="models")
app.add_typer(catalogue.suites, name="suites")
app.add_typer(catalogue.tasks, name="tasks")


def _run_command(study_file: Path, folder: Path | None, study: Study) -> str:
    """Return what reproduces the study; ``auto`` may be another precision on another machine."""
    given = ["--from", str(folder)] if folder else []
    return shlex.join(["spillover", "run", str(study_file), *given, "--precision", study.precision])


def _crew(device: str, threads: int | None) -> AbstractContextManager[Crew | None]:
    """Return the processes that a launcher started together, as `accelerate launch -m spillover run` does."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return nullcontext()
    from spillover.training.processes import Crew, require_launched, sharding_asked

    require_launched(os.environ)
    try:
        shards = sharding_asked(os.environ)
    except UserError:
        if os.environ.get("RANK", "0") != "0":  # the leading process says it
            raise SystemExit(DONE) from None
        raise
    return Crew(cpu=terminal.device(device, threads) == "cpu", shards=shards)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 some steps failed, 2 the user's mistake, 130 interrupted."""
    given = [_with_home(argument) for argument in (sys.argv[1:] if arguments is None else arguments)]
    raise SystemExit(exit_code(lambda: _called(given)))


def _called(arguments: list[str]) -> None:
    """Run a command; what typer finds wrong with its words goes through the one door, as every other mistake does."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except typer.Abort:
        raise UserError("nothing was answered; give the answers as options, see --help") from None
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer brings its exceptions, or click does, by its version
            raise
        words = str(error.format_message()).strip()
        if not words:  # no words at all were given, and help is what was printed
            raise SystemExit(USER_MISTAKE) from None
        place = getattr(error.ctx, "command_path", "spillover") if hasattr(error, "ctx") else "spillover"
        raise UserError(f"{words.rstrip('.?')}; see: {place} --help") from None
    if code:
        raise SystemExit(code)


def _with_home(argument: str) -> str:
    """Return an argument with the home that ``~`` stands for, also where no shell puts it: ``--store=~/store``."""
    option, path = re.fullmatch(r"(--[\w-]+=)?(.*)", argument, re.S).groups("")  # type: ignore[union-attr]
    return option + os.path.expanduser(path) if re.match(r"~($|[/\\])", path) else argument  # noqa: PTH111


def exit_code(call: Callable[[], object]) -> int:
    """Return the exit code of a call, with its error as one line on the error stream."""
    try:
        call()
    except SystemExit as stop:  # how typer ends, also after an interrupt
        code = stop.code if isinstance(stop.code, int) else DONE
    except UserError as error:
        terminal.notice(f"error: {error}")
        return USER_MISTAKE
    except SpilloverError as error:
        terminal.notice(f"failed: {error}")
        return FAILED
    else:
        return DONE
    if code == INTERRUPTED:
        terminal.notice("interrupted; finished steps are kept, run the same command to go on")
    return code


if __name__ == "__main__":
    main(sys.argv[1:])
