"""Mean differences to the base over cells of one kind of metric, of a variant or of a recipe with several seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.records import BASE, MetricCard, Relation, StudyResults, TaskCard, VariantCard
from spillover.statistics.cells import ScoreKey, Scores, cells_of
from spillover.statistics.inference import Inference, Pair, Scatter, infer
from spillover.statistics.paired import difference
from spillover.statistics.scatter import scatter_of_seeds


@dataclass(frozen=True, slots=True, eq=False)
class Mean:
    """A mean difference to the base and what it tells; of several variants, that of their recipe."""

    base_mean: float
    variant_mean: float
    difference: float
    seed_values: tuple[float, ...]
    """The mean difference of each variant."""
    scatter: Scatter | None
    """Of training seeds; None of a single variant."""
    found: Inference
    item_error: float
    """Standard deviation of the difference over resampled items."""


def is_share(task: TaskCard, results: StudyResults) -> bool:
    """True when the task's primary metric is a share, better when higher: what recipes are compared by."""
    card = results.metrics[task.primary_metric]
    return card.unit == "share" and card.higher_is_better


def primary_cells(scores: Scores, variant: str, tasks: Sequence[TaskCard]) -> list[ScoreKey]:
    """Return a variant's scores in the primary metrics of tasks."""
    return [ScoreKey(variant, cell, task.primary_metric) for task in tasks for cell in cells_of(scores, variant, task)]


def tasks_by_kind(
    results: StudyResults, card: VariantCard
) -> dict[tuple[Relation, str], tuple[MetricCard, list[TaskCard]]]:
    """Return a variant's tested tasks by relation and kind of metric, in the order of relations."""
    found: dict[tuple[Relation, str], tuple[MetricCard, list[TaskCard]]] = {}
    for relation in Relation:
        for task in results.tasks:
            if results.relations.get((card.id, task.name)) == relation:
                metric = results.metrics[task.primary_metric]
                found.setdefault((relation, metric.kind), (metric, []))[1].append(task)
    return found


def mean_difference(
    keys: Sequence[Sequence[ScoreKey]],
    scores: Scores,
    metric: MetricCard,
    *,
    level: float,
    margin: float,
    scatter: Sequence[Scatter] = (),
) -> Mean:
    """Return the mean difference to the base over cells, and over variants that differ in their training seed alone.

    Args:
        keys: For each variant its scores of the same cells.
        scores: Of the study.
        metric: Of the cells, or another of the same kind.
        level: Coverage of the interval.
        margin: Losses up to it count as nothing lost.
        scatter: What the mean varies with besides items and training seeds.
    """
    pairs = [[(scores[key], scores[key._replace(variant=BASE)]) for key in own] for own in keys]
    by_task: dict[str, list[Pair]] = {}
    for own, of_variant in zip(keys, pairs, strict=True):
        for key, pair in zip(own, of_variant, strict=True):
            by_task.setdefault(key.cell.tested_on, []).append(pair)
    seed_values = tuple(float(np.mean([own.value - base.value for own, base in row])) for row in pairs)
    noise = [np.mean([own.replicates - base.replicates for own, base in row], axis=0) for row in pairs]
    of_seeds = None
    if len(pairs) > 1:
        of_seeds = scatter_of_seeds(np.array(seed_values), np.stack(noise))
    every = [*scatter, *([of_seeds] if of_seeds else [])]
    base_mean = float(np.mean([base.value for row in pairs for _, base in row]))
    variant_mean = float(np.mean([own.value for row in pairs for own, _ in row]))
    found = infer(list(by_task.values()), metric, level=level, margin=margin, scatter=every)
    item_error = float(np.std(np.mean(noise, axis=0)))
    return Mean(base_mean, variant_mean, difference(variant_mean, base_mean), seed_values, of_seeds, found, item_error)
