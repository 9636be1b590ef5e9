"""Every metric of every model in every cell, checked against the base and resampled jointly per tested task."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spillover.records import BASE, PLAIN, Cell, CellScores, FloatArray, StudyResults, TaskCard
from spillover.statistics.paired import (
    check_statistics,
    content_seed,
    metric_value,
    resample_counts,
    resampled_together,
)


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
    statistics: FloatArray
    """``(n, k)``, as in `CellScores`."""
    units: NDArray[np.intp]
    """``(n,)``: which independent unit of the tested task each item belongs to; items that share a source share one."""
    unit: str = "share"
    """Of the metric, see `MetricCard.unit`."""
    seed: int | None = None
    """Training seed of the variant; None for the base."""

    @property
    def unit_count(self) -> int:
        """How many independent units there are."""
        return int(np.count_nonzero(np.bincount(self.units)))

    @property
    def has_independent_items(self) -> bool:
        """True when no two items share a source."""
        return self.unit_count == len(self.units)


Scores = Mapping[ScoreKey, ResampledScore]


def resample_scores(results: StudyResults, *, resample_count: int) -> Scores:
    """Return the resampled score of every metric, base first, then variants, tasks and cells in the study's order.

    The items of a tested task are resampled once, for all models, shots, prompt forms and metrics: a difference between
    any two scores of a task is a paired one. Items that share a source are drawn together.

    Raises:
        ValueError: When a variant's cell has no counterpart of the base with the same examples, when a variant lacks a
            cell that the base has, or when a number is not finite.
    """
    table = indexed(results, results.scores)
    _check_pairs(results, table)
    return resampled(results, table, resample_count=resample_count)


def resampled(results: StudyResults, table: Mapping[ScoreKey, CellScores], *, resample_count: int) -> Scores:
    """Return the resampled scores of a table; all of one tested task are resampled together."""
    found: dict[ScoreKey, ResampledScore] = {}
    seeds = {card.id: card.seed for card in results.variants}
    for task in results.tasks:
        entries = {key: scores for key, scores in table.items() if key.cell.tested_on == task.name}
        unit_of = _units(entries.values())
        if not unit_of:
            continue
        counts = _unit_counts(task.name, unit_of, resample_count)
        of_items: dict[tuple[str, ...], tuple[NDArray[np.intp], FloatArray]] = {}
        together: dict[tuple[str, tuple[str, ...]], list[ScoreKey]] = {}
        for key, scores in entries.items():
            together.setdefault((key.variant, scores.example_ids), []).append(key)
        for (_, example_ids), keys in together.items():
            if example_ids not in of_items:
                units = np.array([unit_of[example_id] for example_id in example_ids], dtype=np.intp)
                of_items[example_ids] = units, counts.take(units, axis=1)
            units, item_counts = of_items[example_ids]
            metrics = [(entries[key].statistics, results.metrics[key.metric].combine) for key in keys]
            for key, metric, replicates in zip(keys, metrics, resampled_together(metrics, item_counts), strict=True):
                found[key] = ResampledScore(
                    metric_value(*metric),
                    replicates,
                    example_ids,
                    metric[0],
                    units,
                    results.metrics[key.metric].unit,
                    seeds.get(key.variant),
                )
    return {key: found[key] for key in table}


def cells_of(scores: Scores, variant: str, task: TaskCard) -> list[Cell]:
    """Return the cells, in order, in which a model has the primary metric of a tested task."""
    return [
        key.cell
        for key in scores
        if key.variant == variant and key.cell.tested_on == task.name and key.metric == task.primary_metric
    ]


def _units(entries: Iterable[CellScores]) -> dict[str, int]:
    """Return the independent unit of every item of a tested task, numbered in the order of the sorted items."""
    group_of = {
        example_id: group
        for scores in entries
        for example_id, group in zip(scores.example_ids, scores.groups or [""] * len(scores.example_ids), strict=True)
    }
    numbers: dict[tuple[str, str], int] = {}
    return {
        example_id: numbers.setdefault((group, "" if group else example_id), len(numbers))
        for example_id, group in sorted(group_of.items())
    }


def _unit_counts(task: str, unit_of: Mapping[str, int], resample_count: int) -> FloatArray:
    """Return how often each resample draws each unit, ``(resample_count, units)``."""
    count = max(unit_of.values()) + 1
    if count == 1:  # one source: nothing to resample, and too little for any interval
        return np.ones((resample_count, 1))
    return resample_counts(count, seed=content_seed(task, *unit_of), resample_count=resample_count)


def indexed(results: StudyResults, scores_of_cells: Iterable[CellScores]) -> dict[ScoreKey, CellScores]:
    """Return scores by their keys, in the study's order.

    Raises:
        ValueError: If one is given twice, is of what the study does not have, or has statistics that are none.
    """
    model_order = {name: index for index, name in enumerate([BASE, *(card.id for card in results.variants)])}
    task_order = {task.name: index for index, task in enumerate(results.tasks)}
    table: dict[ScoreKey, CellScores] = {}
    for scores in scores_of_cells:
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
    if scores.groups and len(scores.groups) != len(scores.example_ids):
        raise ValueError(f"{where}: {len(scores.groups)} groups for {len(scores.example_ids)} examples")
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
        if base.groups != scores.groups:
            raise ValueError(f"{_words(key)}: the examples have other groups than the base's")
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
        f"(form {cell.prompt_form}, {cell.shots} shots, demonstration seed {cell.demonstration_seed}"
        f"{'' if cell.ask == PLAIN else f', asked as {cell.ask}'})"
    )
