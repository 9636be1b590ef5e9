"""Which cells could have shown a loss: those whose base is above what knowing nothing scores."""

from dataclasses import dataclass

from spillover.analysis.cells import ScoreKey, Scores, cells_of
from spillover.analysis.inference import ONE_SIDED, single
from spillover.records import BASE, Cell, MetricCard, StudyResults, TaskCard


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

    A cell without a known floor counts as one that can; one with too few items to tell cannot.
    """
    found = []
    for task in results.tasks:
        card = results.metrics[task.primary_metric]
        floor = floor_of(task, task.primary_metric, card)
        if floor is None:
            continue
        for cell in cells_of(scores, BASE, task):
            score = scores[ScoreKey(BASE, cell, task.primary_metric)]
            confidence = single(score, card.unit)
            bound = None if confidence is None else confidence.lower(ONE_SIDED)
            if bound is None or bound <= floor:
                found.append(IdleCell(cell, task.primary_metric, score.value, floor))
    return tuple(found)
