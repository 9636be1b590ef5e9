"""Means of the differences to the base over in-domain, out-of-domain and cross-task cells, and best-of-shots gains."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.analysis.cells import ScoreKey, Scores, cells_of
from spillover.analysis.inference import Pair, infer, resampled_interval
from spillover.analysis.paired import difference, differences
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
    low: float | None
    """Of the interval; None where no interval would be honest (see ``note``)."""
    high: float | None
    base_mean: float
    variant_mean: float
    p_value: float | None = None
    """Of no difference, two-sided; not adjusted: a variant has three relations."""
    is_equivalent: bool | None = None
    """Whether the difference is shown to be smaller than the margin, either way."""
    nothing_lost: bool | None = None
    """Whether a loss of the margin or more is refuted."""
    note: str = ""


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
                summaries.append(_summary(card.id, relation, keys, scores, results, level))
    return tuple(summaries)


def _summary(
    variant: str, relation: Relation, keys: Sequence[ScoreKey], scores: Scores, results: StudyResults, level: float
) -> RelationSummary:
    own = [scores[key] for key in keys]
    base = [scores[key._replace(variant=BASE)] for key in keys]
    items = {
        (key.cell.tested_on, example_id)
        for key, score in zip(keys, own, strict=True)
        for example_id in score.example_ids
    }
    by_task: dict[str, list[Pair]] = {}
    for key, pair in zip(keys, zip(own, base, strict=True), strict=True):
        by_task.setdefault(key.cell.tested_on, []).append(pair)
    card = results.metrics[keys[0].metric]
    found = infer(list(by_task.values()), card, level=level, margin=results.margin)
    base_mean = float(np.mean([score.value for score in base]))
    variant_mean = float(np.mean([score.value for score in own]))
    return RelationSummary(
        variant=variant,
        relation=relation,
        cell_count=len(keys),
        item_count=len(items),
        mean_difference=difference(variant_mean, base_mean),
        low=found.low,
        high=found.high,
        base_mean=base_mean,
        variant_mean=variant_mean,
        p_value=found.p_value,
        is_equivalent=found.is_equivalent,
        nothing_lost=found.nothing_lost,
        note=found.note,
    )


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
