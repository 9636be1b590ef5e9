"""The command `gate`: pass, fail or undecided, for a pipeline that ships a fine-tune."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from xml.etree import ElementTree

import typer
from pydantic import Field

from spillover.analysis.gate import (
    MAX_LOSS,
    Check,
    JudgedSubject,
    Outcome,
    Rule,
    checks,
    from_plain,
    overall,
    overview,
)
from spillover.commands.arguments import AsJson, FromFolder, StorePath
from spillover.commands.terminal import terminal
from spillover.errors import UserError, unknown_name
from spillover.report.text import markdown, printable
from spillover.tasks.settings import Settings, load_yaml, parse_settings

commands = typer.Typer()

EXITS = {Outcome.PASS: 0, Outcome.FAIL: 3, Outcome.UNDECIDED: 4}
"""Exit codes; a mistake of the user is 2, as everywhere."""
Loss = Annotated[float, Field(ge=0, le=1)]


class RuleFile(Settings):
    """What a file of rules says."""

    max_loss: Loss = MAX_LOSS
    """Of a relation."""
    max_task_loss: Loss | None = None
    """Of every single task."""
    named: dict[str, Loss] = {}
    """Relation, kind of metric or task to what may be lost there."""
    undecided: Literal["undecided", "fail", "pass"] = "undecided"
    """What an undecided check counts as."""


@commands.command()
def gate(
    source: Annotated[Path, typer.Argument(help="A study file, or the summary.json of a report.", show_default=False)],
    max_loss: Annotated[
        list[str] | None,
        typer.Option("--max-loss", help="0.05, or NAME=0.1 of a relation, kind of metric or task; may be repeated."),
    ] = None,
    max_task_loss: Annotated[
        float | None, typer.Option("--max-task-loss", min=0, max=1, help="What every single task may lose.")
    ] = None,
    undecided: Annotated[
        str | None, typer.Option("--undecided", help="What an undecided check counts as: fail or pass.")
    ] = None,
    rules: Annotated[
        Path | None, typer.Option("--rules", help="A YAML file of max_loss, max_task_loss, named and undecided.")
    ] = None,
    variant: Annotated[
        list[str] | None, typer.Option("--variant", help="A variant's id or name; may be repeated; default: all.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="The summary.json of the last release; losses are from it.")
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML here.")] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", help="Append Markdown here, as $GITHUB_STEP_SUMMARY wants it.")
    ] = None,
    store: StorePath = Path("store"),
    folder: FromFolder = None,
    as_json: AsJson = False,
) -> None:
    """Say whether variants may pass: exit 0 when none lost more than allowed, 3 when one did, 4 when undecided."""
    rule = rule_of(rules, max_loss or (), max_task_loss, undecided)
    found = checked(source, rule, variant or (), baseline, store=store, folder=folder)
    outcome = overall(found)
    if junit:
        _write(junit, _junit(source, found), mode="w")
    if markdown_file:
        _write(markdown_file, _step_summary(source, found), mode="a")
    if as_json:
        terminal.json(plain_outcome(found))
    else:
        for line in overview(found):
            terminal.say(printable(line))
    if EXITS[outcome]:
        raise typer.Exit(EXITS[outcome])


def checked(
    source: Path,
    rule: Rule,
    variants: Sequence[str],
    baseline: Path | None = None,
    *,
    store: Path,
    folder: Path | None = None,
) -> tuple[Check, ...]:
    """Check the chosen variants of a study or of a summary by a rule, all of them without a name."""
    subjects = _chosen(subjects_of(source, store, folder), variants)
    _check_names(rule, subjects)
    return checks(subjects, rule, before=None if baseline is None else subjects_of(baseline, store, folder))


def plain_outcome(found: Sequence[Check]) -> dict[str, object]:
    """Return the outcome with every check for programs."""
    return {"outcome": overall(found).value, "checks": [_plain(check) for check in found]}


def rule_of(path: Path | None, losses: Sequence[str], task_loss: float | None, undecided: str | None) -> Rule:
    """Return the rule of a file, over which the command line's options go."""
    plain: dict[str, Any] = {}
    if path is not None:
        if not isinstance(loaded := load_yaml(path), Mapping):
            raise UserError(f"{path} holds no mapping; expected max_loss, max_task_loss, named or undecided")
        plain = dict(loaded)
    named = dict(plain.get("named") or {})
    for text in losses:
        name, _, amount = text.rpartition("=")
        try:
            value = float(amount)
        except ValueError:
            raise UserError(f"--max-loss is {text!r}; expected a share such as 0.05, or NAME=0.05") from None
        if name:
            named[name] = value
        else:
            plain["max_loss"] = value
    if task_loss is not None:
        plain["max_task_loss"] = task_loss
    if undecided is not None:
        plain["undecided"] = undecided
    read = parse_settings(RuleFile, {**plain, "named": named}, where=str(path) if path else "the gate's options")
    return Rule(read.max_loss, read.max_task_loss, read.named, Outcome(read.undecided))


def subjects_of(source: Path, store: Path, folder: Path | None) -> tuple[JudgedSubject, ...]:
    """Return what is judged in a study whose steps are finished, or in a stored summary."""
    if source.suffix != ".json":
        from spillover.analysis.gate import judged
        from spillover.questions import answered
        from spillover.store.store import Store
        from spillover.study.results import collect

        study = terminal.study(source, folder)
        analysis = answered(collect(study, Store(store), command=f"spillover run {source}"))
        if missing := [line for line in study.skipped if line]:
            terminal.notice(f"not tested: {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else ""))
        return judged(analysis.judged, {verdict.variant: verdict.light for verdict in analysis.verdicts})
    try:
        summary = json.loads(source.read_text(encoding="utf-8"))
        return from_plain(summary["judged"])
    except OSError as error:
        raise UserError(f"{source} cannot be read ({error.strerror}); name a study file or a summary.json") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise UserError(
            f"{source} is no summary.json of this version's reports; write it again with: spillover report STUDY"
        ) from None


def _chosen(subjects: tuple[JudgedSubject, ...], names: Sequence[str]) -> tuple[JudgedSubject, ...]:
    """Return the subjects of the given names: a subject's, a variant's id, or a variant's short name."""
    found = []
    for name in names:
        own = [item for item in subjects if name in (item.name, *item.variants)]
        own = own or [item for item in subjects if any(one.split("/")[0] == name for one in item.variants)]
        if not own:
            raise unknown_name("variant", name, {item.name for item in subjects})
        found += own
    return tuple(dict.fromkeys(found)) if names else subjects


def _check_names(rule: Rule, subjects: Sequence[JudgedSubject]) -> None:
    """Refuse a rule for something that nothing is called: it would let everything pass."""
    readings = [reading for subject in subjects for reading in subject.readings]
    known = {part for reading in readings for part in (reading.relation, reading.kind, *reading.tasks)}
    for name in rule.named:
        if name not in known:
            raise unknown_name("relation, kind of metric or task", name, known)


def _plain(check: Check) -> dict[str, str]:
    return {
        "variant": check.subject,
        "reading": check.reading,
        "outcome": check.outcome.value,
        "sentence": check.sentence,
    }


def _junit(source: Path, found: Sequence[Check]) -> str:
    """Return a test case a check; one that is undecided is an error, which pipelines show apart from a failure."""
    counts = {outcome: sum(check.outcome is outcome for check in found) for outcome in Outcome}
    suite = ElementTree.Element(
        "testsuite",
        name=f"spillover gate {source.name}",
        tests=str(len(found)),
        failures=str(counts[Outcome.FAIL]),
        errors=str(counts[Outcome.UNDECIDED]),
    )
    for check in found:
        case = ElementTree.SubElement(
            suite, "testcase", classname=printable(check.subject), name=printable(check.reading)
        )
        if check.outcome is not Outcome.PASS:
            kind = "failure" if check.outcome is Outcome.FAIL else "error"
            ElementTree.SubElement(case, kind, message=printable(check.sentence))
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _step_summary(source: Path, found: Sequence[Check]) -> str:
    rows = [
        f"| {check.outcome} | {markdown(check.subject)} | {markdown(check.reading)} | {markdown(check.sentence)} |"
        for check in found
    ]
    head = f"### spillover gate: {overall(found)}\n\n{markdown(source.name)}\n\n"
    return (
        head + "\n".join(["| outcome | variant | reading | difference |", "| --- | --- | --- | --- |", *rows]) + "\n\n"
    )


def _write(path: Path, text: str, *, mode: Literal["w", "a"]) -> None:
    try:
        with path.open(mode, encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); name another file") from None
