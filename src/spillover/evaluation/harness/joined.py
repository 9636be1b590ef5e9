"""Runs that another program measured as the results of a study, joined by what their items say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spillover.errors import UserError, unknown_name
from spillover.evaluation.harness.aggregations import COMBINE
from spillover.records import (
    BASE,
    Cell,
    CellScores,
    MetricCard,
    Relation,
    StudyResults,
    TaskCard,
    VariantCard,
)

UNKNOWN = "unknown"
"""What a variant was trained on when nobody said so."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One item of one run."""

    target: str
    prompt: str
    values: Mapping[str, tuple[float, ...]]
    """Metric to its statistics of this item."""


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task of one run."""

    shots: int
    samples: Mapping[str, Sample]
    """By item id: a digest of the item's content, and its rank among items of the same content."""
    higher_is_better: Mapping[str, bool]
    left_out: tuple[str, ...]
    """Metrics whose logged values cannot be summed over items."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where runs come from."""

    harness: str
    """The program's name."""
    base_name: str
    aggregations: Mapping[str, str]
    """Metric to its name in `COMBINE`, where that is not the mean."""
    remarks: tuple[str, ...] = ()
    """What the report says of runs that did not end well, one sentence each."""


def joined_results(
    runs: Mapping[str, Mapping[str, TaskRun]],
    origin: Origin,
    *,
    trained_on: Sequence[str],
    provenance: Mapping[str, object],
) -> StudyResults:
    """Return the results of a base and variants, of the tasks and items that all runs have.

    Args:
        runs: Model to its tasks; the base's key is ``BASE``.
        origin: Where they come from.
        trained_on: Tasks that are in-domain for every variant; all others are cross-task. Without any, nothing is
            guessed: any of the tasks may be their own.
        provenance: For the report.

    Raises:
        UserError: When the runs do not measure the same items in the same way.
    """
    shared = [task for task in runs[BASE] if all(task in run for run in runs.values())]
    if not shared:
        raise UserError(f"the runs have no task in common; {origin.base_name} has: {', '.join(runs[BASE])}")
    for task in trained_on:
        if task not in shared:
            raise unknown_name("task in --trained-on", task, shared)
    cards, scores = [], []
    for task in shared:
        card, of_task = _joined(task, origin.harness, {variant: run[task] for variant, run in runs.items()})
        cards.append(card)
        scores.extend(of_task)
    everything = sorted({task for run in runs.values() for task in run})
    left_out = {f"{task}: metric {name}" for task in shared for run in runs.values() for name in run[task].left_out}
    other = Relation.CROSS_TASK if trained_on else Relation.UNSTATED
    in_domain = {task: Relation.IN_DOMAIN if task in trained_on else other for task in shared}
    return StudyResults(
        name=f"{origin.harness} runs",
        base={
            "name": origin.base_name,
            "fingerprint": UNKNOWN,
            "parameter_count": 0,
            "kind": "unstated",
            "licence": UNKNOWN,
        },
        variants=tuple(
            VariantCard(name, name, ", ".join(trained_on) or UNKNOWN, 0, 0, {}) for name in runs if name != BASE
        ),
        tasks=tuple(cards),
        relations={(name, task): in_domain[task] for name in runs if name != BASE for task in shared},
        metrics=_metrics(runs, scores, origin.aggregations),
        scores=tuple(scores),
        prompts=(),
        skipped=(
            *(f"task {task}: not in every run" for task in everything if task not in shared),
            *origin.remarks,
            *(f"{entry}: its logged values cannot be summed over items" for entry in sorted(left_out)),
        ),
        provenance=dict(provenance),
    )


def _joined(task: str, family: str, runs: Mapping[str, TaskRun]) -> tuple[TaskCard, list[CellScores]]:
    shots = {run.shots for run in runs.values()}
    if len(shots) > 1:
        raise UserError(f"task {task}: run at {sorted(shots)} shots; give runs with the same number of shots")
    base = runs[BASE]
    items = [item for item in base.samples if all(item in run.samples for run in runs.values())]
    if not items:
        raise UserError(f"task {task}: the runs have no item in common; run them on the same data (and --limit)")
    for variant, run in runs.items():
        for item in items:
            ours, theirs = base.samples[item], run.samples[item]
            if (ours.target, ours.prompt) != (theirs.target, theirs.prompt):
                what = "target" if ours.target != theirs.target else "prompt"
                raise UserError(
                    f"task {task}: {variant} was asked item {item} with another {what} than the base "
                    f"({ours.prompt[:60]!r}); run both with the same task version, shots and chat template"
                )
    everything = {item for run in runs.values() for item in run.samples}
    names = [
        name
        for name in base.samples[items[0]].values
        if all(name in run.samples[item].values for run in runs.values() for item in items)
    ]
    if not names:
        raise UserError(f"task {task}: no metric with a number for every item; the report has nothing to compare")
    cell = Cell(task, 1, shots.pop(), 0)
    scores = [
        CellScores(variant, cell, name, tuple(items), np.array([run.samples[item].values[name] for item in items]))
        for variant, run in runs.items()
        for name in names
    ]
    dropped = {"not in every run": len(everything) - len(items)} if len(everything) > len(items) else {}
    return TaskCard(task, family, task, (), names[0], len(items), None, dropped), scores


def _metrics(
    runs: Mapping[str, Mapping[str, TaskRun]], scores: Sequence[CellScores], aggregations: Mapping[str, str]
) -> dict[str, MetricCard]:
    better = {name: up for run in runs.values() for task in run.values() for name, up in task.higher_is_better.items()}
    cards = {}
    for name in dict.fromkeys(score.metric for score in scores):
        plain = name.partition(" (")[0]
        combine = COMBINE[aggregations.get(plain, "mean")]
        values = np.array([combine(score.statistics.sum(axis=0)) for score in scores if score.metric == name])
        is_share = plain not in aggregations and ((values >= 0) & (values <= 1)).all()
        cards[name] = MetricCard(
            name, combine, "share" if is_share else "points", bool(better.get(plain, plain not in aggregations))
        )
    return cards
