"""Lint's check of metrics: whether one is blind to the references that answers are compared with."""

from __future__ import annotations

from collections.abc import Iterator

from spillover.evaluation.metrics import METRICS, unseen
from spillover.lint.findings import Evidence, Finding, Severity

BLIND_SHARE = 0.01
"""Of a task's references; where a metric is blind to more, its value is lowered or raised by more than a point."""


def blind_metrics(evidence: Evidence) -> Iterator[Finding]:
    """Answers that equal their references have the best score, and something of every reference is compared."""
    for asked in evidence.asked_once:
        if asked.cell.choices:
            continue
        references = [example.target for example in asked.cell.asked.examples]
        for name in asked.step.data.task.metrics:
            if not (found := unseen(METRICS[name], references)):
                continue
            yield Finding(
                "blind-metric",
                Severity.WARNING if len(found) > BLIND_SHARE * len(references) else Severity.NOTE,
                f"task {asked.step.data.task.name!r}",
                f"{name} is blind to {len(found)} of {len(references)} references, such as {found[0][:40]!r}",
                "it finds nothing in them to compare, so that its score says nothing of these answers",
                "add chrf to metrics, which reads every character, or accuracy; or mend the references",
            )
