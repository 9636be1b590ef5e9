"""Runs that another program measured as the results of a study, joined by what their items say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spillover.errors import UserError, unknown_name
from spillover.evaluation.harness.aggregations import metric_card, plain_name, primary_metric
from spillover.evaluation.harness.logged_tasks import Sample, common_answer, task_card
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
class TaskRun:
    """One task of one run."""

    shots: int
    samples: Mapping[str, Sample]
    """By item id: a digest of the item's content, and its rank among items of the same content."""
    higher_is_better: Mapping[str, bool]
    left_out: tuple[str, ...]
    """Metrics whose logged values cannot be summed over items."""
    right_answers: frozenset[str] = frozenset()
    """Metrics that say which answers are right."""


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
    joined, too_few = {}, []
    for task in shared:
        found = _joined(task, {variant: run[task] for variant, run in runs.items()})
        if len(found.items) > 1:
            joined[task] = found
        else:
            too_few.append(
                f"task {task}: the runs were joined on 1 item of {found.item_count}, and one item has no interval"
            )
    if not joined:
        raise UserError(f"{too_few[0]}; run them on more of the same data")
    scores = [score for found in joined.values() for score in found.scores]
    metrics = _metrics(runs, scores, origin.aggregations)
    everything = sorted({task for run in runs.values() for task in run})
    left_out = {f"{task}: metric {name}" for task in joined for run in runs.values() for name in run[task].left_out}
    other = Relation.CROSS_TASK if trained_on else Relation.UNSTATED
    in_domain = {task: Relation.IN_DOMAIN if task in trained_on else other for task in joined}
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
        tasks=tuple(found.card(task, origin.harness, metrics) for task, found in joined.items()),
        relations={(name, task): in_domain[task] for name in runs if name != BASE for task in joined},
        metrics=metrics,
        scores=tuple(scores),
        prompts=(),
        skipped=(
            *(f"task {task}: not in every run" for task in everything if task not in shared),
            *too_few,
            *origin.remarks,
            *(f"{entry}: its logged values cannot be summed over items" for entry in sorted(left_out)),
        ),
        provenance=dict(provenance),
        common_answers={
            (variant, found.cell): answer
            for found in joined.values()
            for variant, samples in found.samples.items()
            if (answer := common_answer(samples))
        },
    )


@dataclass(frozen=True, slots=True)
class _JoinedTask:
    """One task of all runs, of the items they have in common."""

    cell: Cell
    items: tuple[str, ...]
    item_count: int
    """Of all runs together."""
    samples: Mapping[str, Sequence[Sample]]
    """Model to its samples, in the order of the items."""
    scores: Sequence[CellScores]

    def card(self, task: str, family: str, metrics: Mapping[str, MetricCard]) -> TaskCard:
        """Return what the report says of it."""
        own = {name: metrics[name] for name in dict.fromkeys(score.metric for score in self.scores)}
        left = self.item_count - len(self.items)
        dropped = {"not in every run": left} if left else {}
        return task_card(task, family, self.samples[BASE], own, primary=primary_metric(own), dropped=dropped)


def _joined(task: str, runs: Mapping[str, TaskRun]) -> _JoinedTask:
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
    samples = {variant: [run.samples[item] for item in items] for variant, run in runs.items()}
    scores = [
        CellScores(variant, cell, name, tuple(items), np.array([sample.values[name] for sample in own]))
        for variant, own in samples.items()
        for name in names
    ]
    return _JoinedTask(cell, tuple(items), len(everything), samples, scores)


def _metrics(
    runs: Mapping[str, Mapping[str, TaskRun]], scores: Sequence[CellScores], aggregations: Mapping[str, str]
) -> dict[str, MetricCard]:
    tasks = [task for run in runs.values() for task in run.values()]
    better = {name: up for task in tasks for name, up in task.higher_is_better.items()}
    cards = {}
    for name in dict.fromkeys(score.metric for score in scores):
        own = [score for score in scores if score.metric == name]
        plain = plain_name(name)
        cards[name] = metric_card(
            name,
            aggregations.get(plain, "mean"),
            [score.statistics for score in own],
            higher_is_better=bool(better.get(plain, plain not in aggregations)),
            is_right=all(name in run[score.cell.tested_on].right_answers for score in own for run in runs.values()),
        )
    return cards
