"""Every metric of every model in every cell, checked against the base and resampled jointly per tested task."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spillover.analysis.paired import (
    check_statistics,
    content_seed,
    metric_value,
    resample_counts,
    resampled_values,
)
from spillover.records import BASE, Cell, CellScores, FloatArray, StudyResults, TaskCard


class ScoreKey(NamedTuple):
    """Which score: a model, a cell and a metric."""

    variant: str
    cell: Cell
    metric: str


@dataclass(frozen=True, slots=True, eq=False)
class ResampledScore:
    """A metric's value over a cell and its values over the resamples of the tested task."""

    value: float
    replicates: FloatArray
    """``(resample_count,)``; entry i of every score of one tested task comes from the same resampled items."""
    example_ids: tuple[str, ...]


Scores = Mapping[ScoreKey, ResampledScore]


def resample_scores(results: StudyResults, *, resample_count: int) -> Scores:
    """Return the resampled score of every metric, base first, then variants, tasks and cells in the study's order.

    The items of a tested task are resampled once, for all models, shots, prompt forms and metrics: a difference between
    any two scores of a task is a paired one.

    Raises:
        ValueError: When a variant's cell has no counterpart of the base with the same examples, when a variant lacks a
            cell that the base has, or when a number is not finite.
    """
    table = _indexed(results)
    _check_pairs(results, table)
    resampled: dict[ScoreKey, ResampledScore] = {}
    for task in results.tasks:
        entries = {key: scores for key, scores in table.items() if key.cell.tested_on == task.name}
        items = sorted({example_id for scores in entries.values() for example_id in scores.example_ids})
        if not items:
            continue
        seed = content_seed(task.name, *items)
        counts = resample_counts(len(items), seed=seed, resample_count=resample_count)
        column = {example_id: index for index, example_id in enumerate(items)}
        counts_of: dict[tuple[str, ...], FloatArray] = {}
        for key, scores in entries.items():
            combine = results.metrics[key.metric].combine
            if scores.example_ids not in counts_of:
                counts_of[scores.example_ids] = counts.take(
                    [column[example_id] for example_id in scores.example_ids], axis=1
                )
            replicates = resampled_values(scores.statistics, counts_of[scores.example_ids], combine)
            value = metric_value(scores.statistics, combine)
            resampled[key] = ResampledScore(value, replicates, scores.example_ids)
    return {key: resampled[key] for key in table}


def cells_of(scores: Scores, variant: str, task: TaskCard) -> list[Cell]:
    """Return the cells, in order, in which a model has the primary metric of a tested task."""
    return [
        key.cell
        for key in scores
        if key.variant == variant and key.cell.tested_on == task.name and key.metric == task.primary_metric
    ]


def _indexed(results: StudyResults) -> dict[ScoreKey, CellScores]:
    model_order = {name: index for index, name in enumerate([BASE, *(card.id for card in results.variants)])}
    task_order = {task.name: index for index, task in enumerate(results.tasks)}
    table: dict[ScoreKey, CellScores] = {}
    for scores in results.scores:
        key = ScoreKey(scores.variant, scores.cell, scores.metric)
        where = _words(key)
        if key in table:
            raise ValueError(f"{where} is given twice")
        for kind, name, known in (
            ("model", scores.variant, model_order),
            ("tested task", scores.cell.tested_on, task_order),
            ("metric", scores.metric, results.metrics),
        ):
            if name not in known:
                raise ValueError(f"{where}: the study's results describe no {kind} {name!r}")
        _check_rows(scores, where)
        table[key] = scores
    ordered = sorted(table, key=lambda key: (model_order[key.variant], task_order[key.cell.tested_on], key.cell))
    return {key: table[key] for key in ordered}


def _check_rows(scores: CellScores, where: str) -> None:
    if len(scores.example_ids) != len(scores.statistics):
        raise ValueError(f"{where}: {len(scores.statistics)} rows of statistics for {len(scores.example_ids)} examples")
    if len(set(scores.example_ids)) != len(scores.example_ids):
        raise ValueError(f"{where}: an example id occurs twice")
    try:
        check_statistics(np.asarray(scores.statistics))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _check_pairs(results: StudyResults, table: Mapping[ScoreKey, CellScores]) -> None:
    for key, scores in table.items():
        if key.variant == BASE:
            continue
        base = table.get(key._replace(variant=BASE))
        if base is None:
            raise ValueError(f"{_words(key)}: the base has no such score to compare with")
        if base.example_ids != scores.example_ids:
            raise ValueError(f"{_words(key)}: the examples are not exactly those of the base, in the same order")
        if (key.variant, key.cell.tested_on) not in results.relations:
            raise ValueError(f"{_words(key)}: no relation is given between this variant and this task")
    for task in results.tasks:
        for cell in sorted({key.cell for key in table if key.cell.tested_on == task.name}):
            tested = [card.id for card in results.variants if (card.id, task.name) in results.relations]
            for model in [BASE, *tested]:
                key = ScoreKey(model, cell, task.primary_metric)
                if key not in table:
                    raise ValueError(f"{_words(key)} is missing; a mean over fewer cells would not be comparable")


def _words(key: ScoreKey) -> str:
    cell = key.cell
    return (
        f"{key.metric} of {key.variant} on {cell.tested_on} "
        f"(form {cell.prompt_form}, {cell.shots} shots, demonstration seed {cell.demonstration_seed})"
    )
