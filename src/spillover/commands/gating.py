"""What the command `gate` reads and writes: rules, what is judged, JUnit XML and Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from xml.etree import ElementTree

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
)
from spillover.commands.terminal import terminal
from spillover.errors import UserError, unknown_name
from spillover.report.text import markdown, printable
from spillover.settings import Settings, load_yaml, parse_settings

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


def rule(path: Path | None, losses: Sequence[str], task_loss: float | None, undecided: str | None) -> Rule:
    """Return the rule of a file, over which the command line's options go."""
    plain: dict[str, Any] = {}
    if path is not None:
        if not isinstance(loaded := load_yaml(path), Mapping):
            raise UserError(f"{path} holds no mapping; expected max_loss, max_task_loss, named or undecided")
        plain = dict(loaded)
    named = plain.get("named") or {}
    if not isinstance(named, Mapping):
        raise UserError(f"{path}: named is {named!r}; expected names with what each may lose, such as tweets: 0.02")
    named = dict(named)
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
    found = chosen(subjects(source, store, folder), variants)
    if not found:
        raise UserError(f"{source} has no variant that was judged, so there is nothing to gate; add variants and tests")
    check_names(rule, found)
    return checks(found, rule, before=None if baseline is None else subjects(baseline, store, folder))


def plain_outcome(found: Sequence[Check]) -> dict[str, object]:
    """Return the outcome with every check for programs."""
    return {"outcome": overall(found).value, "checks": [plain(check) for check in found]}


def subjects(source: Path, store: Path, folder: Path | None) -> tuple[JudgedSubject, ...]:
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
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        raise UserError(
            f"{source} is no summary.json of this version's reports; write it again with: spillover report STUDY"
        ) from None


def chosen(subjects: tuple[JudgedSubject, ...], names: Sequence[str]) -> tuple[JudgedSubject, ...]:
    """Return the subjects of the given names: a subject's, a variant's id, or a variant's short name."""
    found = []
    for name in names:
        own = [item for item in subjects if name in (item.name, *item.variants)]
        own = own or [item for item in subjects if any(one.split("/")[0] == name for one in item.variants)]
        if not own:
            raise unknown_name("variant", name, {item.name for item in subjects})
        found += own
    return tuple(dict.fromkeys(found)) if names else subjects


def check_names(rule: Rule, subjects: Sequence[JudgedSubject]) -> None:
    """Refuse a rule for something that nothing is called: it would let everything pass."""
    readings = [reading for subject in subjects for reading in subject.readings]
    known = {part for reading in readings for part in (reading.relation, reading.kind, *reading.tasks)}
    for name in rule.named:
        if name not in known:
            raise unknown_name("relation, kind of metric or task", name, known)


def plain(check: Check) -> dict[str, str]:
    """Return a check as plain data."""
    return {
        "variant": check.subject,
        "reading": check.reading,
        "outcome": check.outcome.value,
        "sentence": check.sentence,
    }


def junit(source: Path, found: Sequence[Check]) -> str:
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


def step_summary(source: Path, found: Sequence[Check]) -> str:
    """Return the checks as a Markdown table."""
    rows = [
        f"| {check.outcome} | {markdown(check.subject)} | {markdown(check.reading)} | {markdown(check.sentence)} |"
        for check in found
    ]
    head = f"### spillover gate: {overall(found)}\n\n{markdown(source.name)}\n\n"
    return (
        head + "\n".join(["| outcome | variant | reading | difference |", "| --- | --- | --- | --- |", *rows]) + "\n\n"
    )


def write(path: Path, text: str, *, mode: Literal["w", "a"]) -> None:
    """Write or append a text; refuse a place that cannot be written."""
    try:
        with path.open(mode, encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); name another file") from None
