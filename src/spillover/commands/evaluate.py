"""`spillover evaluate`: what fine-tuning done elsewhere gained and lost, measured against its base."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from spillover.commands.arguments import ReportPath, SummaryAsJson
from spillover.commands.terminal import Terminal
from spillover.errors import UserError

Base = Annotated[
    str, typer.Option("--base", help="The model that was fine-tuned: a name, a folder, a hub id or a .gguf file.")
]
Adapter = Annotated[Path | None, typer.Option("--adapter", help="A folder that peft's save_pretrained wrote.")]
Model = Annotated[str | None, typer.Option("--model", help="A whole fine-tuned model, named as a base is.")]
Predictions = Annotated[
    Path | None,
    typer.Option("--predictions", help="A CSV of what a classifier of your own says: id or text, a share per label."),
]
SuiteName = Annotated[str, typer.Option("--suite", help="A built-in suite or the path of a suite file.")]
Shots = Annotated[str, typer.Option("--shots", help="Demonstrations, such as 0,2; default: each task's own counts.")]
Tasks = Annotated[str, typer.Option("--tasks", help="Tasks to test, such as sst2,rte, or all.")]
TrainedOn = Annotated[
    str | None,
    typer.Option("--trained-on", help="The task it was trained on, or for other data of its kind the family."),
]
Name = Annotated[str | None, typer.Option("--name", help="What the report calls it; default: its folder's name.")]
TestLimit = Annotated[int, typer.Option("--test-limit", min=2, help="The most test rows of a cell.")]
FromFolder = Annotated[
    Path | None, typer.Option("--from", help="A folder with the suite's release or with downloaded archives.")
]
StorePath = Annotated[Path, typer.Option("--store", help="Where finished steps are kept.")]
Precision = Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Processor threads; default: all.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps or xpu.")]


def add_evaluate(app: typer.Typer, terminal: Terminal) -> None:
    """Give the command line its command ``evaluate``."""

    @app.command()
    def evaluate(
        base: Base,
        adapter: Adapter = None,
        model: Model = None,
        predictions: Predictions = None,
        suite: SuiteName = "pocket",
        shots: Shots = "default",
        tasks: Tasks = "all",
        trained_on: TrainedOn = None,
        name: Name = None,
        test_limit: TestLimit = 250,
        folder: FromFolder = None,
        store: StorePath = Path("store"),
        report_folder: ReportPath = None,
        precision: Precision = "auto",
        drift: Annotated[
            bool, typer.Option("--drift/--no-drift", help="Measure how far it moved from the base.")
        ] = True,
        threads: Threads = None,
        device: Device = "auto",
        as_json: SummaryAsJson = False,
    ) -> None:
        """Measure what was trained elsewhere, an adapter, a whole model or a classifier, in every task of a suite."""
        from spillover.completion import RunOptions
        from spillover.config import resolve_study
        from spillover.questions import OF_OTHERS
        from spillover.store.store import Store

        if not (adapter or model or predictions) or (adapter and model):
            raise UserError(
                "evaluate needs --adapter or --model, one of the two: the folder of what was trained; or, alone or "
                "beside it, --predictions"
            )
        said = {"adapter": adapter and str(adapter), "model": model, "predictions": predictions and str(predictions)}
        measured = {kind: what for kind, what in said.items() if what}
        given = tuple(measured.values())
        called = name or _name_of(given[0])
        settings: dict[str, object] = {
            "base": base,
            "suite": suite,
            "variants": [
                {
                    "name": _name_of(what) if index else called,
                    kind: what,
                    **({"train_on": trained_on} if trained_on else {}),
                }
                for index, (kind, what) in enumerate(measured.items())
            ],
            "test_on": _listed(tasks),
            "shots": "default" if shots == "default" else _counts(shots),
            "test_limit": test_limit,
            "precision": precision,
            "drift": drift,
        }
        study = resolve_study(
            settings,
            Path("evaluate"),
            cache=terminal.cache(),
            folder=folder,
            notice=terminal.notice,
            questions=OF_OTHERS,
        )
        study = replace(study, name=called, origin=("evaluate", *map(_whole, (base, *given, suite))))
        place = terminal.place(study, report_folder)
        options = {
            "--base": base,
            **{f"--{kind}": what for kind, what in measured.items()},
            "--suite": suite,
            "--shots": shots,
            "--tasks": tasks,
            "--trained-on": trained_on,
            "--name": name,
            "--test-limit": str(test_limit),
            "--from": str(folder) if folder else None,
            "--precision": study.precision,
        }
        words = [word for option, value in options.items() if value is not None for word in (option, value)]
        command, kept = shlex.join(["spillover", "evaluate", *words]), Store(store)
        failed = terminal.compute(study, kept, RunOptions(device=lambda: terminal.device(device, threads)))
        terminal.finish(failed, lambda: terminal.report(study, kept, place, command, as_json=as_json))


def _whole(name: str) -> str:
    """Return a path with all its folders; a name of something else as it is."""
    return str(Path(name).absolute()) if Path(name).exists() else name


def _name_of(given: str) -> str:
    """Return a variant's name made of the last part of a path or hub id."""
    last = Path(given).resolve().name if Path(given).exists() else Path(given).name
    return re.sub(r"[^\w.+-]", "-", last.removesuffix(".gguf").removesuffix(".csv"))


def _listed(words: str) -> list[str]:
    return [word.strip() for word in words.split(",")]


def _counts(words: str) -> list[int]:
    try:
        return [int(word) for word in _listed(words)]
    except ValueError:
        raise UserError(f"--shots is {words!r}; expected counts such as 0,2,4 or the word default") from None
