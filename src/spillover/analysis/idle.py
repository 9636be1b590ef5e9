"""Which cells could have shown a loss: those whose base is above what knowing nothing scores."""

from dataclasses import dataclass

import numpy as np

from spillover.records import BASE, Cell, MetricCard, StudyResults, TaskCard
from spillover.statistics.cells import ResampledScore, ScoreKey, Scores, cells_of
from spillover.statistics.inference import ONE_SIDED, single
from spillover.statistics.resampled import MINIMUM_UNIT_COUNT


@dataclass(frozen=True, slots=True)
class IdleCell:
    """A cell that cannot show a loss: its base is not significantly above the floor, one-sided at 95 %."""

    cell: Cell
    metric: str
    base_value: float
    floor: float


def floor_of(task: TaskCard, metric: str, card: MetricCard) -> float | None:
    """Return what knowing nothing scores; None where nobody knows and the unit sets none."""
    if metric in task.floors:
        return task.floors[metric]
    return 0.0 if card.higher_is_better and card.unit in ("share", "points", "correlation") else None


def idle_cells(results: StudyResults, scores: Scores) -> tuple[IdleCell, ...]:
    """Return the cells of primary metrics that cannot show a loss, in the study's order.

    A cell without a known floor counts as one that can, and so does one with too few items to tell: what it lost, if
    anything, then stays open.
    """
    found = []
    for task in results.tasks:
        card = results.metrics[task.primary_metric]
        floor = floor_of(task, task.primary_metric, card)
        if floor is None:
            continue
        for cell in cells_of(scores, BASE, task):
            score = scores[ScoreKey(BASE, cell, task.primary_metric)]
            if score.unit_count >= MINIMUM_UNIT_COUNT and _least(score, card.unit) <= floor:
                found.append(IdleCell(cell, task.primary_metric, score.value, floor))
    return tuple(found)


def _least(score: ResampledScore, unit: str) -> float:
    """Return what a score is at the least, one-sided at 95 %.

    A metric that is no mean of items has no interval where every resample gives the same, as of a perfect model: then
    it is what the resamples give.
    """
    confidence = single(score, unit)
    return float(np.quantile(score.replicates, 1 - ONE_SIDED)) if confidence is None else confidence.lower(ONE_SIDED)
