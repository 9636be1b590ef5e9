"""The commands `models`, `suites` and `tasks`: what is there by name, shown and fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from spillover.commands.arguments import AsJson, FromFolder
from spillover.commands.terminal import terminal

if TYPE_CHECKING:
    from spillover.tasks.task import Task

models = typer.Typer(help="Models by name.", no_args_is_help=True)
suites = typer.Typer(help="Suites of tasks.", no_args_is_help=True)
tasks = typer.Typer(help="Tasks of a suite.", no_args_is_help=True)

SuiteName = Annotated[str, typer.Argument(help="A built-in suite or the path of a suite file.")]


@models.command("list")
def models_list(as_json: AsJson = False) -> None:
    """List the models that can be pulled by name."""
    from spillover.models.spec import model_specs

    specs = model_specs().values()
    if as_json:
        fields = ("name", "kind", "parameter_count", "licence")
        terminal.json([{name: getattr(spec, name) for name in fields} for spec in specs])
        return
    rows = [(spec.name, spec.kind, f"{spec.parameter_count / 1e6:.0f}M", spec.licence) for spec in specs]
    terminal.table(("name", "kind", "parameters", "licence"), rows)


@models.command("show")
def models_show(
    name: Annotated[str, typer.Argument(help="A name, a folder, a hub id or a .gguf file.")], as_json: AsJson = False
) -> None:
    """Show what a model is: its fingerprint, size, context and licence."""
    from spillover.models.resolve import resolve_model

    model = resolve_model(name, cache=terminal.cache(), notice=terminal.notice)
    fields = ("name", "kind", "parameter_count", "context_length", "licence", "fingerprint", "path")
    if as_json:
        terminal.json({field: getattr(model, field) for field in fields})
        return
    terminal.table((), [(field.replace("_", " "), str(getattr(model, field))) for field in fields])


@models.command("pull")
def models_pull(
    name: Annotated[str, typer.Argument(help="A name from `spillover models list`.")],
    folder: FromFolder = None,
    accept_terms: Annotated[bool, typer.Option("--accept-terms", help="Accept the model's terms of use.")] = False,
) -> None:
    """Fetch a model's pinned archive, check it, convert it once and prove the conversion."""
    from spillover.models.pull import pull
    from spillover.models.spec import model_spec

    path = pull(
        model_spec(name), cache=terminal.cache(), folder=folder, accept_terms=accept_terms, notice=terminal.notice
    )
    terminal.out.print(str(path), markup=False, emoji=False, soft_wrap=True)


@suites.command("list")
def suites_list(as_json: AsJson = False) -> None:
    """List the built-in suites."""
    from spillover.tasks.suite import builtin_suites, load_suite

    found = [load_suite(name) for name in builtin_suites()]
    if as_json:
        terminal.json([{"name": suite.name, "tasks": list(suite.tasks), "about": suite.about} for suite in found])
        return
    terminal.table(("name", "tasks", "about"), [(suite.name, str(len(suite.tasks)), suite.about) for suite in found])


@suites.command("show")
def suites_show(name: SuiteName, as_json: AsJson = False) -> None:
    """List the tasks of a suite."""
    tasks_list(name, as_json=as_json)


@suites.command("pull")
def suites_pull(name: SuiteName, folder: FromFolder = None) -> None:
    """Fetch and prepare every task of a suite once, checking each pinned digest."""
    from spillover.tasks.prepare import prepare
    from spillover.tasks.suite import load_suite

    suite = load_suite(name, folder=folder)
    shown = []
    for task in suite.tasks.values():
        rows = prepare(suite, task, cache=terminal.cache(), notice=terminal.notice)
        dropped = ", ".join(f"{reason}: {count}" for reason, count in rows.dropped.items())
        counts = (len(rows.train), len(rows.demonstrations), len(rows.test))
        shown.append((task.name, *map(str, counts), dropped))
    terminal.table(("task", "train", "demonstrations", "test", "dropped"), shown)


@tasks.command("list")
def tasks_list(
    suite_name: SuiteName = "pocket",
    option: Annotated[str | None, typer.Option("--suite", help="The same, as an option.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the tasks of a suite."""
    from spillover.tasks.suite import load_suite

    found = load_suite(option or suite_name).tasks.values()
    if as_json:
        fields = ("name", "family", "domain", "answers", "metrics", "shots", "licence")
        terminal.json([task.model_dump(mode="json", include=set(fields)) for task in found])
        return
    rows = [(task.name, task.family, task.domain, _answer_words(task), task.licence) for task in found]
    terminal.table(("task", "family", "domain", "answers", "licence of the data"), rows)


def _answer_words(task: Task) -> str:
    return "each row's options" if task.has_own_options else ", ".join(task.answers) or "free text"


@tasks.command("show")
def tasks_show(
    name: Annotated[str, typer.Argument(help="A task of the suite.")],
    suite_name: Annotated[str, typer.Option("--suite", help="A suite's name or path.")] = "pocket",
    folder: FromFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show a task's rows: how many there are, and one rendered prompt."""
    from spillover.prompts.template import demonstrated_prompt
    from spillover.tasks.prepare import account_lines, prepare
    from spillover.tasks.suite import load_suite

    suite = load_suite(suite_name, folder=folder)
    task = suite.task(name)
    rows = prepare(suite, task, cache=terminal.cache(), notice=terminal.notice)
    train, shown, test = len(rows.train), len(rows.demonstrations), len(rows.test)
    template, example = suite.template(task, 1, cache=terminal.cache()), rows.test[0]
    prompt = demonstrated_prompt(template, rows.demonstrations[:1], example.fields)
    if as_json:
        counts = {"train": train, "demonstrations": shown, "test": test, "dropped": dict(rows.dropped)}
        counts |= {"account": dict(rows.account)}
        terminal.json({"name": task.name, "rows": counts, "prompt": prompt, "target": example.target})
        return
    terminal.say(f"{task.name}: {train} training rows, {shown} demonstrations, {test} test rows")
    for line in account_lines(rows, task.sources):
        terminal.say(line)
    terminal.say(f"{prompt}⟨{example.target}⟩")
