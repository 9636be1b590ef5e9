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

Runs = Mapping[str, Mapping[tuple[str, int], "TaskRun"]]
"""Model to what it was asked, by task and number of shots; the base's key is ``BASE``."""


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task of one run, at one number of shots."""

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
    runs: Runs,
    origin: Origin,
    *,
    trained_on: Sequence[str],
    provenance: Mapping[str, object],
) -> StudyResults:
    """Return the results of a base and variants, of the tasks, numbers of shots and items that all runs have.

    Args:
        runs: From which they come.
        origin: Where they come from.
        trained_on: Tasks that are in-domain for every variant; all others are cross-task. Without any, nothing is
            guessed: any of the tasks may be their own.
        provenance: For the report.

    Raises:
        UserError: When the runs do not measure the same items in the same way.
    """
    shared, missing = _in_every_run(runs)
    if not shared:
        asked = ", ".join(dict.fromkeys(task for task, _ in runs[BASE]))
        raise UserError(f"the runs have no task in common; {origin.base_name} has: {asked}")
    for task in trained_on:
        if task not in dict(shared):
            raise unknown_name("task in --trained-on", task, dict(shared))
    joined, too_few = _of_enough_items(runs, shared)
    scores = [score for found in joined.values() for score in found.scores]
    metrics = _metrics(runs, scores, origin.aggregations)
    left_out = {f"{key[0]}: metric {name}" for key in joined for run in runs.values() for name in run[key].left_out}
    # All cells of a task share a card; where they have other items, that of the most.
    widest = {found.cell.tested_on: found for found in sorted(joined.values(), key=lambda found: len(found.items))}
    tasks = {task: widest[task] for task, _ in joined}
    other = Relation.CROSS_TASK if trained_on else Relation.UNSTATED
    in_domain = {task: Relation.IN_DOMAIN if task in trained_on else other for task in tasks}
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
            VariantCard(id=name, name=name, trained_on=", ".join(trained_on) or UNKNOWN, size=0, seed=0, recipe={})
            for name in runs
            if name != BASE
        ),
        tasks=tuple(found.card(task, origin.harness, metrics) for task, found in tasks.items()),
        relations={(name, task): in_domain[task] for name in runs if name != BASE for task in tasks},
        metrics=metrics,
        scores=tuple(scores),
        prompts=(),
        skipped=(
            *missing,
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


def _of_enough_items(
    runs: Runs, shared: Sequence[tuple[str, int]]
) -> tuple[dict[tuple[str, int], _JoinedTask], list[str]]:
    """Return what was joined on more than one item, and a line for each task that was not."""
    joined, too_few = dict[tuple[str, int], _JoinedTask](), list[str]()
    for task, shots in shared:
        found = _joined(Cell(task, 1, shots, 0), {variant: run[task, shots] for variant, run in runs.items()})
        if len(found.items) > 1:
            joined[task, shots] = found
        else:
            too_few.append(
                f"task {task}: the runs were joined on 1 item of {found.item_count}, and one item has no interval"
            )
    if not joined:
        raise UserError(f"{too_few[0]}; run them on more of the same data")
    return joined, too_few


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


def _in_every_run(runs: Runs) -> tuple[list[tuple[str, int]], list[str]]:
    """Return what every run has, as the base orders it, and a sentence for everything else.

    Raises:
        UserError: If a task is in every run, and each time at another number of shots.
    """
    shared = [key for key in runs[BASE] if all(key in run for run in runs.values())]
    everything = sorted({key for run in runs.values() for key in run})
    counts = {task: [shots for name, shots in everything if name == task] for task, _ in everything}
    for task in sorted(counts.keys() - dict(shared)):
        if all(task in dict(run.keys()) for run in runs.values()):
            raise UserError(f"task {task}: run at {counts[task]} shots; give runs with the same number of shots")
    return shared, [
        f"task {task}{f' at {shots} shots' if len(counts[task]) > 1 else ''}: not in every run"
        for task, shots in everything
        if (task, shots) not in shared
    ]


def _joined(cell: Cell, runs: Mapping[str, TaskRun]) -> _JoinedTask:
    task, base = cell.tested_on, runs[BASE]
    items = [item for item in base.samples if all(item in run.samples for run in runs.values())]
    if not items:
        raise UserError(f"task {task}: the runs have no item in common; run them on the same data (and --limit)")
    for variant, run in runs.items():
        for item in items:
            ours, theirs = base.samples[item], run.samples[item]
            if (ours.target, ours.prompt) == (theirs.target, theirs.prompt) and ours.settings != theirs.settings:
                raise UserError(
                    f"task {task}: {variant} was asked item {item} with the same prompt and other generation settings "
                    f"than the base: {_differing(ours.settings, theirs.settings)}; run both with the same --gen_kwargs"
                )
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
    samples = {variant: [run.samples[item] for item in items] for variant, run in runs.items()}
    scores = [
        CellScores(variant, cell, name, tuple(items), np.array([sample.values[name] for sample in own]))
        for variant, own in samples.items()
        for name in names
    ]
    return _JoinedTask(cell, tuple(items), len(everything), samples, scores)


def _differing(ours: Mapping[str, object], theirs: Mapping[str, object]) -> str:
    """Return the settings that differ, with both values: ``max_gen_toks is 64 for the base and 256 here``."""

    def value(settings: Mapping[str, object], name: str) -> str:
        return repr(settings[name]) if name in settings else "not set"

    names = [name for name in {**ours, **theirs} if value(ours, name) != value(theirs, name)]
    return ", ".join(f"{name} is {value(ours, name)} for the base and {value(theirs, name)} here" for name in names)


def _metrics(runs: Runs, scores: Sequence[CellScores], aggregations: Mapping[str, str]) -> dict[str, MetricCard]:
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
            is_right=all(
                name in run[score.cell.tested_on, score.cell.shots].right_answers
                for score in own
                for run in runs.values()
            ),
        )
    return cards
