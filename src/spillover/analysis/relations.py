"""Means of the differences to the base over in-domain, out-of-domain and cross-task cells, and best-of-shots gains."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.analysis.cells import ScoreKey, Scores, cells_of
from spillover.analysis.paired import difference, differences, percentile_interval
from spillover.records import BASE, Cell, FloatArray, Relation, StudyResults, TaskCard


@dataclass(frozen=True, slots=True)
class RelationSummary:
    """The mean difference of a variant to the base over all cells of one relation."""

    variant: str
    relation: Relation
    cell_count: int
    item_count: int
    """Distinct examples; an example tested at several shot counts is one."""
    mean_difference: float
    low: float
    high: float
    base_mean: float
    variant_mean: float


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
    low: float
    high: float


def enters_means(task: TaskCard, results: StudyResults) -> bool:
    """True when the task's primary metric is a share, better when higher, so that a mean over tasks makes sense."""
    card = results.metrics[task.primary_metric]
    return card.unit == "share" and card.higher_is_better


def relation_summaries(results: StudyResults, scores: Scores, *, level: float) -> tuple[RelationSummary, ...]:
    """Return one summary per variant and relation, over the primary metrics that are shares.

    Items are resampled per tested task, jointly for its shots; the difference is taken per cell and averaged over
    cells, so that every cell weighs the same. A relation without cells is absent.
    """
    tasks = [task for task in results.tasks if enters_means(task, results)]
    summaries: list[RelationSummary] = []
    for card in results.variants:
        for relation in Relation:
            keys = [
                ScoreKey(card.id, cell, task.primary_metric)
                for task in tasks
                if results.relations.get((card.id, task.name)) == relation
                for cell in cells_of(scores, card.id, task)
            ]
            if keys:
                summaries.append(_summary(card.id, relation, keys, scores, level))
    return tuple(summaries)


def _summary(
    variant: str, relation: Relation, keys: Sequence[ScoreKey], scores: Scores, level: float
) -> RelationSummary:
    own = [scores[key] for key in keys]
    base = [scores[key._replace(variant=BASE)] for key in keys]
    items = {
        (key.cell.tested_on, example_id)
        for key, score in zip(keys, own, strict=True)
        for example_id in score.example_ids
    }
    replicates = differences(_mean([score.replicates for score in own]), _mean([score.replicates for score in base]))
    low, high = percentile_interval(replicates, level)
    base_mean = float(np.mean([score.value for score in base]))
    variant_mean = float(np.mean([score.value for score in own]))
    return RelationSummary(
        variant=variant,
        relation=relation,
        cell_count=len(keys),
        item_count=len(items),
        mean_difference=difference(variant_mean, base_mean),
        low=low,
        high=high,
        base_mean=base_mean,
        variant_mean=variant_mean,
    )


def _mean(replicates: Sequence[FloatArray]) -> FloatArray:
    return np.asarray(np.mean(np.stack(replicates), axis=0), dtype=np.float64)


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
    low, high = percentile_interval(differences(replicates, base_replicates), level)
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
