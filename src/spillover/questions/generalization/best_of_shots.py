"""Each variant's best score over shots against the base's: optimistic, both picked by the test score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.records import BASE, Cell, FloatArray, Relation, StudyResults, TaskCard
from spillover.statistics.cells import ScoreKey, Scores, cells_of
from spillover.statistics.paired import difference, differences
from spillover.statistics.resampled import resampled_interval


@dataclass(frozen=True, slots=True)
class BestOfShots:
    """A variant's best score over shots against the base's best over shots: optimistic, both picked after the fact."""

    variant: str
    tested_on: str
    relation: Relation
    prompt_form: int
    demonstration_seed: int
    metric: str
    base_best: float
    base_shots: int
    variant_best: float
    variant_shots: int
    difference: float
    low: float | None
    """Of the interval; None where there are too few independent items, or every resample is the same."""
    high: float | None


def best_of_shots(results: StudyResults, scores: Scores, *, level: float) -> tuple[BestOfShots, ...]:
    """Return the difference of bests per variant, task, prompt form and demonstration seed tested at several shots.

    The best is picked anew in every resample. Picking by the test score favours whoever varies more, so the rows are
    optimistic; the genpower paper (arXiv 2403.09162) reports its few-shot results this way.
    """
    rows: list[BestOfShots] = []
    for card in results.variants:
        for task in results.tasks:
            groups: dict[tuple[int, int], list[Cell]] = {}
            for cell in cells_of(scores, card.id, task):
                groups.setdefault((cell.prompt_form, cell.demonstration_seed), []).append(cell)
            rows += [
                _best(card.id, task, results, scores, cells, level=level) for cells in groups.values() if len(cells) > 1
            ]
    return tuple(rows)


def _best(
    variant: str, task: TaskCard, results: StudyResults, scores: Scores, cells: Sequence[Cell], *, level: float
) -> BestOfShots:
    sign = 1.0 if results.metrics[task.primary_metric].higher_is_better else -1.0

    def best(model: str) -> tuple[float, int, FloatArray]:
        own = [scores[ScoreKey(model, cell, task.primary_metric)] for cell in cells]
        winner = int(np.argmax([sign * score.value for score in own]))
        replicates = sign * np.max(np.stack([sign * score.replicates for score in own]), axis=0)
        return own[winner].value, cells[winner].shots, np.asarray(replicates, dtype=np.float64)

    base_value, base_shots, base_replicates = best(BASE)
    value, shots, replicates = best(variant)
    unit_count = scores[ScoreKey(BASE, cells[0], task.primary_metric)].unit_count
    low, high = resampled_interval(differences(replicates, base_replicates), unit_count, level)
    return BestOfShots(
        variant=variant,
        tested_on=task.name,
        relation=results.relations[variant, task.name],
        prompt_form=cells[0].prompt_form,
        demonstration_seed=cells[0].demonstration_seed,
        metric=task.primary_metric,
        base_best=base_value,
        base_shots=base_shots,
        variant_best=value,
        variant_shots=shots,
        difference=difference(value, base_value),
        low=low,
        high=high,
    )
