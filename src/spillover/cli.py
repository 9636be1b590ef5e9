"""The command line: arguments to one call, user mistakes to one line and exit 2."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spillover.commands.evaluate import add_evaluate
from spillover.commands.terminal import FAILED, Terminal
from spillover.errors import SpilloverError, UserError

if TYPE_CHECKING:
    from spillover.study.store import Store
    from spillover.study.study import Study
    from spillover.tasks.task import Task
    from spillover.training.processes import Crew

DONE, USER_MISTAKE, INTERRUPTED = 0, 2, 130

app = typer.Typer(
    help="What does fine-tuning an LLM do to everything it was not fine-tuned on, and which recipe keeps the most?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="Models by name.", no_args_is_help=True)
suites_app = typer.Typer(help="Suites of tasks.", no_args_is_help=True)
tasks_app = typer.Typer(help="Tasks of a suite.", no_args_is_help=True)
import_app = typer.Typer(help="Reports of what other programs measured.", no_args_is_help=True)
for _name, _group in (("models", models_app), ("suites", suites_app), ("tasks", tasks_app), ("import", import_app)):
    app.add_typer(_group, name=_name)

out = Console()
messages = Console(stderr=True)

StudyPath = Annotated[Path, typer.Argument(help="The study file.", show_default=False)]
StorePath = Annotated[Path, typer.Option("--store", help="Where finished steps are kept.")]
ReportPath = Annotated[Path, typer.Option("--report", help="Where the report is written.")]
FromFolder = Annotated[
    Path | None, typer.Option("--from", help="A folder with the suite's release or with downloaded archives.")
]
Budget = Annotated[
    str | None, typer.Option("--budget", help="Time such as 2h; of a `mix`, the arms that validate worse are dropped.")
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Processor threads; default: all.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
SuiteName = Annotated[str, typer.Argument(help="A built-in suite or the path of a suite file.")]


@app.command()
def run(
    study_file: StudyPath,
    store: StorePath = Path("store"),
    report_folder: ReportPath = Path("report"),
    folder: FromFolder = None,
    threads: Threads = None,
    device: Device = "auto",
    budget: Budget = None,
) -> None:
    """Do whatever is missing of a study, then write its report."""
    from spillover.study.halving import budget_seconds
    from spillover.study.store import Store

    seconds, kept = budget_seconds(budget) if budget else None, Store(store)
    with _crew(device, threads) as crew:
        if crew and not crew.leads:
            from spillover.study.follow import follow

            follow(crew, lambda: _study(study_file, folder), kept)
            return
        study = _study(study_file, folder)
        failed = terminal.compute(
            study, kept, lambda: crew.device if crew else _device(device, threads), crew=crew, seconds=seconds
        )
    terminal.finish(failed, lambda: _write_report(study, kept, report_folder, study_file, folder))


@app.command()
def plan(
    study_file: StudyPath,
    store: StorePath = Path("store"),
    folder: FromFolder = None,
    threads: Threads = None,
    device: Device = "auto",
    calibration: Annotated[
        bool, typer.Option("--calibration/--no-calibration", help="Load the base and measure what steps will take.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan for programs.")] = False,
) -> None:
    """Say what is to be done, what it takes in time and disk, and how small a difference it can show."""
    from spillover.commands.plan import made_plan, print_json, print_plan
    from spillover.study.store import Store

    chosen = _device(device, threads) if calibration else None
    found = made_plan(_study(study_file, folder), Store(store), device=chosen, notice=_notice)
    if as_json:
        print_json(out, found)
    else:
        print_plan(out, found)


@app.command()
def status(study_file: StudyPath, store: StorePath = Path("store"), folder: FromFolder = None) -> None:
    """Count what is done, by kind of step."""
    from spillover.study.runner import missing_steps
    from spillover.study.store import Store

    study, kept = _study(study_file, folder), Store(store)
    todo = {step.key for step in missing_steps(study, kept)}
    table = Table("kind", "done", "to do")
    for kind in dict.fromkeys(step.kind for step in study.steps):
        keys = [step.key for step in study.steps if step.kind == kind]
        missing = sum(key in todo for key in keys)
        _row(table, kind, str(len(keys) - missing), str(missing))
    out.print(table)


@app.command()
def report(
    study_file: StudyPath,
    store: StorePath = Path("store"),
    report_folder: ReportPath = Path("report"),
    folder: FromFolder = None,
) -> None:
    """Write the report of what is in the store, without computing anything."""
    from spillover.study.store import Store

    _write_report(_study(study_file, folder), Store(store), report_folder, study_file, folder)


@app.command()
def export(
    variant: Annotated[str, typer.Argument(help="A variant's id, as the report names it.")],
    study_file: Annotated[Path, typer.Option("--study", help="The study file.", show_default=False)],
    to: Annotated[Path, typer.Option("--to", help="A new folder.", show_default=False)],
    store: StorePath = Path("store"),
    folder: FromFolder = None,
) -> None:
    """Write a variant's whole model, an adapter merged after proving that merging changes nothing."""
    from spillover.study.export import export as export_variant
    from spillover.study.store import Store

    gap = export_variant(_study(study_file, folder), Store(store), variant, to)
    out.print(f"{to}: whole model in float32; merging moved no logit by more than {gap:.1g}", markup=False)


@models_app.command("list")
def models_list() -> None:
    """List the models that can be pulled by name."""
    from spillover.models.spec import model_specs

    table = Table("name", "kind", "parameters", "licence")
    for spec in model_specs().values():
        _row(table, spec.name, spec.kind, f"{spec.parameter_count / 1e6:.0f}M", spec.licence)
    out.print(table)


@models_app.command("show")
def models_show(name: Annotated[str, typer.Argument(help="A name, a folder, a hub id or a .gguf file.")]) -> None:
    """Show what a model is: its fingerprint, size, context and licence."""
    from spillover.models.spec import resolve_model

    model = resolve_model(name, cache=_cache(), notice=_notice)
    table = Table(show_header=False)
    for field in ("name", "kind", "parameter_count", "context_length", "licence", "fingerprint", "path"):
        _row(table, field.replace("_", " "), str(getattr(model, field)))
    out.print(table)


@models_app.command("pull")
def models_pull(
    name: Annotated[str, typer.Argument(help="A name from `spillover models list`.")],
    folder: FromFolder = None,
    accept_terms: Annotated[bool, typer.Option("--accept-terms", help="Accept the model's terms of use.")] = False,
) -> None:
    """Fetch a model's pinned archive, check it, convert it once and prove the conversion."""
    from spillover.models.pull import pull
    from spillover.models.spec import model_spec

    path = pull(model_spec(name), cache=_cache(), folder=folder, accept_terms=accept_terms, notice=_notice)
    out.print(str(path), markup=False, soft_wrap=True)


@suites_app.command("list")
def suites_list() -> None:
    """List the built-in suites."""
    from spillover.tasks.suite import builtin_suites, load_suite

    table = Table("name", "tasks", "about")
    for name in builtin_suites():
        suite = load_suite(name)
        _row(table, name, str(len(suite.tasks)), suite.about)
    out.print(table)


@suites_app.command("show")
def suites_show(name: SuiteName) -> None:
    """List the tasks of a suite."""
    tasks_list(name)


@suites_app.command("pull")
def suites_pull(name: SuiteName, folder: FromFolder = None) -> None:
    """Fetch and prepare every task of a suite once, checking each pinned digest."""
    from spillover.tasks.prepare import prepare
    from spillover.tasks.suite import load_suite

    suite = load_suite(name, folder=folder)
    table = Table("task", "train", "demonstrations", "test", "dropped")
    for task in suite.tasks.values():
        rows = prepare(suite, task, cache=_cache(), notice=_notice)
        dropped = ", ".join(f"{reason}: {count}" for reason, count in rows.dropped.items())
        counts = (len(rows.train), len(rows.demonstrations), len(rows.test))
        _row(table, task.name, *map(str, counts), dropped)
    out.print(table)


@tasks_app.command("list")
def tasks_list(
    suite_name: SuiteName = "pocket",
    option: Annotated[str | None, typer.Option("--suite", help="The same, as an option.")] = None,
) -> None:
    """List the tasks of a suite."""
    from spillover.tasks.suite import load_suite

    table = Table("task", "family", "domain", "answers", "licence of the data")
    for task in load_suite(option or suite_name).tasks.values():
        _row(table, task.name, task.family, task.domain, _answer_words(task), task.licence)
    out.print(table)


def _answer_words(task: Task) -> str:
    return "each row's options" if task.has_own_options else ", ".join(task.answers) or "free text"


@tasks_app.command("show")
def tasks_show(
    name: Annotated[str, typer.Argument(help="A task of the suite.")],
    suite_name: Annotated[str, typer.Option("--suite", help="A suite's name or path.")] = "pocket",
    folder: FromFolder = None,
) -> None:
    """Show a task's rows: how many there are, and one rendered prompt."""
    from spillover.prompts.template import demonstrated_prompt
    from spillover.tasks.prepare import prepare
    from spillover.tasks.suite import load_suite

    suite = load_suite(suite_name, folder=folder)
    task = suite.task(name)
    rows = prepare(suite, task, cache=_cache(), notice=_notice)
    counts = f"{len(rows.train)} training rows, {len(rows.demonstrations)} demonstrations, {len(rows.test)} test rows"
    out.print(f"{task.name}: {counts}", highlight=False, markup=False)
    template = suite.template(task, 1, cache=_cache())
    prompt = demonstrated_prompt(template, rows.demonstrations[:1], rows.test[0].fields)
    out.print(f"{prompt}⟨{rows.test[0].target}⟩", highlight=False, markup=False)


@app.command("lm-eval", context_settings={"ignore_unknown_options": True, "help_option_names": []})
def lm_eval(arguments: Annotated[list[str] | None, typer.Argument(help="As after `lm-eval`.")] = None) -> None:
    """Run lm-eval's own command line, with our engine as `--model spillover --model_args base=...,adapter=...`."""
    from spillover.evaluation.harness.command import run_lm_eval

    run_lm_eval(arguments or [], cache=_cache(), notice=_notice)


@import_app.command("lm-eval")
def import_lm_eval(
    folders: Annotated[list[Path], typer.Argument(help="Output folders of lm-eval runs with --log_samples.")],
    report_folder: ReportPath = Path("report"),
    base: Annotated[Path | None, typer.Option("--base", help="Which folder is the base; default: the first.")] = None,
    trained_on: Annotated[
        list[str] | None, typer.Option("--trained-on", help="A task the others were trained on; may be repeated.")
    ] = None,
) -> None:
    """Write the paired report of two or more lm-eval runs, joined by what their items say."""
    from spillover.analysis.generalization import analyse
    from spillover.evaluation.harness.samples import read_runs
    from spillover.report.text import text_summary
    from spillover.report.write import write_report

    command = shlex.join(["spillover", "import", "lm-eval", *map(str, folders)])
    results = read_runs(folders, base=base or folders[0], trained_on=trained_on or (), command=command)
    analysis = analyse(results)
    write_report(results, analysis, report_folder)
    out.print(text_summary(results, analysis))
    out.print(f"report: {report_folder / 'index.html'}", markup=False, highlight=False)


def _crew(device: str, threads: int | None) -> AbstractContextManager[Crew | None]:
    """Return the processes that a launcher started together, as `accelerate launch -m spillover run` does."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return nullcontext()
    from spillover.training.processes import Crew

    return Crew(cpu=_device(device, threads) == "cpu")


def _study(path: Path, folder: Path | None) -> Study:
    from spillover.config import load_study

    return load_study(path, cache=_cache(), folder=folder, notice=_notice)


def _write_report(study: Study, kept: Store, folder: Path, study_file: Path, suite_folder: Path | None) -> None:
    given = f" --from {shlex.quote(str(suite_folder))}" if suite_folder else ""
    terminal.report(study, kept, folder, f"spillover run {shlex.quote(str(study_file))}{given}")


def _row(table: Table, *cells: str) -> None:
    """Add a row of plain text: names and reasons come from files, and may look like markup."""
    table.add_row(*map(Text, cells))


def _cache() -> Path:
    from spillover.artifacts.cache import default_cache

    named = os.environ.get("SPILLOVER_CACHE")
    return Path(named) if named else default_cache()


def _device(name: str, threads: int | None) -> str:
    import torch

    from spillover.models.load import preferred_device

    if threads is not None:
        torch.set_num_threads(threads)
    return preferred_device() if name == "auto" else name


def _notice(line: str) -> None:
    messages.print(line, markup=False, highlight=False, soft_wrap=True)


terminal = Terminal(out, messages, _cache, _device)
add_evaluate(app, terminal)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 some steps failed, 2 the user's mistake, 130 interrupted."""
    raise SystemExit(exit_code(lambda: app(args=arguments)))


def exit_code(call: Callable[[], object]) -> int:
    """Return the exit code of a call, with its error as one line on the error stream."""
    try:
        call()
    except SystemExit as stop:  # how typer ends, also after an interrupt
        code = stop.code if isinstance(stop.code, int) else DONE
    except UserError as error:
        _notice(f"error: {error}")
        return USER_MISTAKE
    except SpilloverError as error:
        _notice(f"failed: {error}")
        return FAILED
    else:
        return DONE
    if code == INTERRUPTED:
        _notice("interrupted; finished steps are kept, run the same command to go on")
    return code


if __name__ == "__main__":
    main(sys.argv[1:])
