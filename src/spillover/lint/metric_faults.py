"""Lint's checks of metrics: whether one is blind to the references that answers are compared with, or has none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spillover.errors import UserError
from spillover.evaluation.choice import Scoring
from spillover.evaluation.json_answers import answers_in
from spillover.evaluation.metrics import METRICS, OF_JSON, unseen
from spillover.lint.findings import Asked, Evidence, Finding, Severity
from spillover.records import Prediction

BLIND_SHARE = 0.01
"""Of a task's references; where a metric is blind to more, its value is lowered or raised by more than a point."""


def blind_metrics(evidence: Evidence) -> Iterator[Finding]:
    """Answers that equal their references have the best score, and something of every reference is compared."""
    for asked in evidence.asked_once:
        if asked.cell.choices:
            continue
        references = [example.target for example in asked.cell.asked.examples]
        for name in asked.step.data.task.metrics:
            if name in OF_JSON or not (found := unseen(METRICS[name], references)):
                continue
            yield Finding(
                "blind-metric",
                Severity.WARNING if len(found) > BLIND_SHARE * len(references) else Severity.NOTE,
                f"task {asked.step.data.task.name!r}",
                f"{name} is blind to {len(found)} of {len(references)} references, such as {found[0][:40]!r}",
                "it finds nothing in them to compare, so that its score says nothing of these answers",
                "add chrf to metrics, which reads every character, or accuracy; or mend the references",
            )


def json_answers(evidence: Evidence) -> Iterator[Finding]:
    """Targets of tasks that are answered in JSON are JSON, and a share of questions is of some."""
    for asked in evidence.asked_once:
        if names := [name for name in asked.step.data.task.metrics if name in OF_JSON]:
            yield from _json_faults(asked, names)


def _json_faults(asked: Asked, names: Sequence[str]) -> Iterator[Finding]:
    where = f"task {asked.step.data.task.name!r}"
    references = [example.target for example in asked.cell.asked.examples]
    if plain := [text for text in references if not answers_in(text)]:
        yield Finding(
            "target-not-json",
            Severity.WARNING,
            where,
            f"{len(plain)} of {len(references)} targets, such as {plain[0][:40]!r}, are no JSON with an answer",
            "a model that is trained on them, or shown them, answers in their form and is counted wrong",
            'write targets as {"answer": "..."}, {"answer": "?"} where the question has none',
        )
    rows = [Prediction(str(index), text, text) for index, text in enumerate(references)]
    for name in names:
        try:
            METRICS[name].statistics(rows, Scoring())
        except UserError as error:
            what, _, mend = str(error).partition("; ")
            yield Finding("metric-of-nothing", Severity.ERROR, where, f"{name}: {what}", "it has no value", mend)
            return
