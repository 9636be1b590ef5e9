"""The commands around other harnesses: `lm-eval` with our engine, and `import` of what lm-eval or Inspect logged."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.commands.arguments import ReportPath, SummaryAsJson, TrainedOn
from spillover.commands.terminal import terminal

if TYPE_CHECKING:
    from spillover.records import StudyResults

commands = typer.Typer()
importing = typer.Typer(help="Reports of what other programs measured.", no_args_is_help=True)


@commands.command("lm-eval", context_settings={"ignore_unknown_options": True, "help_option_names": []})
def lm_eval(arguments: Annotated[list[str] | None, typer.Argument(help="As after `lm-eval`.")] = None) -> None:
    """Run lm-eval's own command line, with our engine as `--model spillover --model_args base=...,adapter=...`."""
    from spillover.evaluation.harness.command import run_lm_eval

    run_lm_eval(arguments or [], cache=terminal.cache(), notice=terminal.notice)


@importing.command("lm-eval")
def import_lm_eval(
    folders: Annotated[list[Path], typer.Argument(help="Output folders of lm-eval runs with --log_samples.")],
    report_folder: ReportPath = None,
    base: Annotated[Path | None, typer.Option("--base", help="Which folder is the base; default: the first.")] = None,
    trained_on: TrainedOn = None,
    as_json: SummaryAsJson = False,
) -> None:
    """Write the paired report of two or more lm-eval runs, joined by what their items say."""
    from spillover.evaluation.harness.samples import read_runs

    command = shlex.join(["spillover", "import", "lm-eval", *map(str, folders)])
    found = read_runs(folders, base=base or folders[0], trained_on=trained_on or (), command=command)
    _report(found, folders, report_folder, as_json)


@importing.command("inspect")
def import_inspect(
    logs: Annotated[list[Path], typer.Argument(help="Logs of Inspect (.eval or .json), or folders of them.")],
    report_folder: ReportPath = None,
    base: Annotated[str | None, typer.Option("--base", help="The base's name; default: the first log's model.")] = None,
    trained_on: TrainedOn = None,
    as_json: SummaryAsJson = False,
) -> None:
    """Write the paired report of the models in logs of Inspect, joined by what their items say."""
    from spillover.evaluation.harness.inspect_logs import read_logs

    command = shlex.join(["spillover", "import", "inspect", *map(str, logs)])
    found = read_logs(logs, base=base, trained_on=trained_on or (), command=command)
    _report(found, logs, report_folder, as_json)


def _report(results: StudyResults, sources: Sequence[Path], given: Path | None, as_json: bool) -> None:
    """Report what was read, in a folder called after the variants; the same sources, in any order, are one study."""
    from spillover.questions import OF_OTHERS, answered

    origin = tuple(sorted(str(path.absolute()) for path in sources))
    results = replace(results, questions=tuple(question.name for question in OF_OTHERS), origin=origin)
    place = terminal.place(results, given, called="-".join(card.id for card in results.variants))
    terminal.write(results, answered(results), place, as_json=as_json)
