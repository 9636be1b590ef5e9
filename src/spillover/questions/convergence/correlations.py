"""How a recipe's scores go with the base's over tasks, beside what base, family and a classifier alone would show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spillover.questions.convergence.scores import Recipe
from spillover.records import FloatArray
from spillover.statistics.paired import ROUNDING, content_seed, resample_counts
from spillover.statistics.ranks import LEAST_COUNT, partial, pearson, ranks, shuffled_within, spearman, within
from spillover.statistics.resampled import resampled_interval

IN_CONTEXT = "base in context"
ZERO_SHOT = "base at 0 shots"
FAMILY = "other tasks of the family"
WITHIN = "base in context, within families"
PARTIAL = "base in context, given 0 shots"
SEEN, UNSEEN = "base in context, families trained on", "base in context, other families"

Interval = tuple[float, float] | tuple[None, None]
NONE: Interval = (None, None)


@dataclass(frozen=True, slots=True)
class Correlation:
    """Of tuned scores with something else, over tasks."""

    label: str
    """With what."""
    task_count: int
    family_count: int
    spearman: float | None
    """None where it is not told, see ``note``."""
    over_families: Interval = NONE
    """Of ``spearman``, for other families with tasks and items of their own; none below ten of them."""
    over_tasks: Interval = NONE
    """For other tasks, as if those of a family had nothing in common: too narrow where they have."""
    pearson: float | None = None
    pearson_over_families: Interval = NONE
    without_noise: float | None = None
    """``pearson`` without the noise of items; None where tasks differ no more than items would have them."""
    p_value: float | None = None
    """Within families: one-sided, of tasks of a family in any order."""
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Scores over tasks and their resamples, by families and by tasks."""

    families: NDArray[np.intp]
    by_family: FloatArray | None
    """``(resamples, tasks)``: how often each task is drawn; None for a single family."""
    by_task: FloatArray
    level: float
    kept: dict[tuple[bytes, bool], FloatArray] = field(default_factory=dict)
    """Ranks that were asked for before, since each vector of scores stands in several correlations."""

    def ranks(self, values: FloatArray, *, by_family: bool) -> FloatArray:
        """Return the ranks of scores in every resample, ``(resamples, tasks)``."""
        key = values.tobytes(), by_family
        if key not in self.kept:
            self.kept[key] = ranks(values, self.weights(by_family=by_family))
        return self.kept[key]

    def weights(self, *, by_family: bool) -> FloatArray:
        """Return how often each resample draws each task."""
        if not by_family:
            return self.by_task
        assert self.by_family is not None
        return self.by_family

    def spearman(self, one: FloatArray, other: FloatArray, *, by_family: bool) -> FloatArray:
        """Return the rank correlation of scores in every resample."""
        pair = [self.ranks(values, by_family=by_family) for values in (one, other)]
        return pearson(pair[0], pair[1], self.weights(by_family=by_family))

    def interval(self, replicates: FloatArray, unit_count: int) -> Interval:
        return resampled_interval(replicates[np.isfinite(replicates)], unit_count, self.level)

    @property
    def family_count(self) -> int:
        return len(np.unique(self.families))


def correlations(
    recipe: Recipe, classifiers: Mapping[str, Mapping[str, float]], *, level: float, resample_count: int
) -> tuple[Correlation, ...]:
    """Return the claim's correlation, its nulls, and what is left of it within families and given the base's 0 shots.

    Args:
        recipe: On the choice tasks.
        classifiers: Name of a supervised variant to the score of each task by the one that was trained on it.
        level: Coverage of intervals.
        resample_count: Resamples of families, and of tasks.
    """
    table = _table(recipe, level, resample_count)
    tuned, in_context, zero_shot = recipe.tuned, recipe.in_context, recipe.zero_shot
    noise = np.stack([pair.noise([pair.base[pair.most_shots], pair.base[0], pair.tuned]) for pair in recipe.pairs])
    rows = [
        _pair(IN_CONTEXT, in_context, tuned, table, noise[:, [0, 2]][:, :, [0, 2]]),
        _pair(ZERO_SHOT, zero_shot, tuned, table, noise[:, 1:, 1:]),
        _of_family(recipe, level, resample_count),
    ]
    for name, scores in classifiers.items():
        has = [pair.task.name in scores for pair in recipe.pairs]
        if sum(has) >= LEAST_COUNT:
            own = recipe.rows(has)
            values = np.array([scores[pair.task.name] for pair in own.pairs])
            rows.append(_pair(f"classifier {name}", values, own.tuned, _table(own, level, resample_count)))
    rows += [_within(recipe, resample_count), _partial(in_context, tuned, zero_shot, table)]
    for label, is_seen in ((SEEN, True), (UNSEEN, False)):
        own = recipe.rows([pair.is_seen is is_seen for pair in recipe.pairs])
        if own.pairs:
            rows.append(_pair(label, own.in_context, own.tuned, _table(own, level, resample_count)))
    return tuple(rows)


def _table(recipe: Recipe, level: float, resample_count: int) -> _Table:
    families, count = recipe.families, len(recipe.pairs)
    family_count = int(families.max()) + 1 if count else 0
    seed = content_seed("convergence", *(pair.task.name for pair in recipe.pairs))
    of_families = None
    if family_count > 1:
        of_families = resample_counts(family_count, seed=seed, resample_count=resample_count)[:, families]
    by_task = resample_counts(count, seed=seed, resample_count=resample_count) if count > 1 else np.ones((1, count))
    return _Table(families, of_families, by_task, level)


def _pair(
    label: str, one: FloatArray, tuned: FloatArray, table: _Table, noise: FloatArray | None = None
) -> Correlation:
    """Return both correlations of two vectors of scores; ``noise`` is that of their items, ``(tasks, 2, 2)``."""
    if note := reason(label, one, tuned):
        return Correlation(label, len(one), table.family_count, None, note=note)
    over_families, pearson_over_families = NONE, NONE
    if table.by_family is not None:
        over_families = table.interval(table.spearman(one, tuned, by_family=True), table.family_count)
        pearson_over_families = table.interval(pearson(one, tuned, table.by_family), table.family_count)
    return Correlation(
        label,
        len(one),
        table.family_count,
        float(spearman(one, tuned)),
        over_families,
        table.interval(table.spearman(one, tuned, by_family=False), len(one)),
        float(pearson(one, tuned)),
        pearson_over_families,
        None if noise is None else without_noise(one, tuned, noise),
    )


def reason(label: str, one: FloatArray, tuned: FloatArray) -> str:
    """Return why two vectors have no correlation; empty where they have one."""
    if len(one) < LEAST_COUNT:
        return f"{len(one)} tasks: a rank correlation needs at least {LEAST_COUNT}"
    for name, values in ((label, one), ("the tuned model", tuned)):
        if np.ptp(values) < ROUNDING:
            return f"{name}: the same score on every task, so that there is nothing to correlate"
    return ""


def without_noise(one: FloatArray, other: FloatArray, noise: FloatArray) -> float | None:
    """Return what the correlation of scores would be without the noise of their items; None where none is told.

    Observed variances and covariance over tasks less the mean of those over items (Spearman 1904, "The Proof and
    Measurement of Association between Two Things", with errors that may go together, since both models see the same
    items). At most 1 in size, which an estimate may exceed.

    Args:
        one: Scores ``(tasks,)``.
        other: The same of the other model.
        noise: Covariance of the two over items, ``(tasks, 2, 2)``.
    """
    left = np.cov(one, other) - noise.mean(axis=0)
    if left[0, 0] <= ROUNDING or left[1, 1] <= ROUNDING:
        return None
    return float(np.clip(left[0, 1] / np.sqrt(left[0, 0] * left[1, 1]), -1, 1))


def family_means(values: FloatArray, families: NDArray[np.intp]) -> FloatArray:
    """Return the mean of the family's other tasks, ``(tasks,)``; NaN for a family's only task."""
    counts, sums = np.bincount(families)[families], np.bincount(families, weights=values)[families]
    return np.where(counts > 1, (sums - values) / np.maximum(counts - 1, 1), np.nan)


def _of_family(recipe: Recipe, level: float, resample_count: int) -> Correlation:
    """Return how well a family's other tasks tell a task's tuned score: a null that knows tuned scores."""
    means = family_means(recipe.tuned, recipe.families)
    own = recipe.rows(np.isfinite(means).tolist())
    return _pair(FAMILY, means[np.isfinite(means)], own.tuned, _table(own, level, resample_count))


def _within(recipe: Recipe, resample_count: int) -> Correlation:
    """Return the correlation of ranks less their family's mean, tested by the orders of tasks within families."""
    counts = np.bincount(recipe.families)[recipe.families]
    own = recipe.rows((counts > 1).tolist())
    families = own.families
    family_count = len(np.unique(families))
    if len(own.pairs) - family_count < LEAST_COUNT:
        note = f"{len(own.pairs)} tasks of families with several: too few to look within them"
        return Correlation(WITHIN, len(own.pairs), family_count, None, note=note)
    one, tuned = (within(ranks(values), families) for values in (own.in_context, own.tuned))
    if note := reason(WITHIN, one, tuned):
        return Correlation(WITHIN, len(one), family_count, None, note=note)
    seed = content_seed("within families", *(pair.task.name for pair in own.pairs))
    found = float(pearson(one, tuned))
    others = pearson(one, tuned[shuffled_within(families, seed=seed, count=resample_count)])
    p_value = (1 + int((others >= found - ROUNDING).sum())) / (1 + resample_count)
    return Correlation(WITHIN, len(one), family_count, found, p_value=p_value)


def _partial(one: FloatArray, tuned: FloatArray, given: FloatArray, table: _Table) -> Correlation:
    """Return the rank correlation of two given a third."""
    pairs = ((one, tuned), (one, given), (tuned, given))

    def over(*, by_family: bool) -> FloatArray:
        of_pairs = [table.spearman(*pair, by_family=by_family) for pair in pairs]
        return partial(of_pairs[0], of_pairs[1], of_pairs[2])

    found = float(partial(*(spearman(*pair) for pair in pairs)))
    if np.isnan(found):
        note = reason(PARTIAL, one, tuned) or reason(ZERO_SHOT, given, tuned)
        note = note or "tasks have the same order at 0 shots: nothing is left to correlate"
        return Correlation(PARTIAL, len(one), table.family_count, None, note=note)
    over_families = NONE
    if table.by_family is not None:
        over_families = table.interval(over(by_family=True), table.family_count)
    over_tasks = table.interval(over(by_family=False), len(one))
    return Correlation(PARTIAL, len(one), table.family_count, found, over_families, over_tasks)
