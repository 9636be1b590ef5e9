"""What differences to the base say: an interval or why there is none, a p-value, and whether anything was lost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import bdtr, ndtr, ndtri, stdtr, stdtrit

from spillover.analysis.cells import ResampledScore
from spillover.analysis.few_changes import few_changes_intervals
from spillover.analysis.paired import ROUNDING, differences, percentile_interval
from spillover.records import FloatArray, MetricCard

EQUIVALENCE_LEVEL = 0.90
"""Two one-sided tests at 5 % both reject just when the 90 % interval lies within the margin (Schuirmann 1987)."""

MINIMUM_UNIT_COUNT = 10
"""Independent items, or groups of items that share a source, below which no interval is given."""

MINIMUM_CHANGE_COUNT = 10
"""Units whose difference is not the most frequent one, below which resamples say nothing of the rest: with none of
them every resample is the same."""

WIDEST_INTERVAL = 1.0
"""Of a difference of shares of which few changed; it lies within -1 and 1, so a wider interval is no answer."""

Pair = tuple[ResampledScore, ResampledScore]
"""A variant's and the base's score of the same cell."""


@dataclass(frozen=True, slots=True)
class Inference:
    """What is known of a difference beyond its value."""

    low: float | None = None
    """Of the interval; None where no interval would be honest."""
    high: float | None = None
    p_value: float | None = None
    """Of no difference, two-sided."""
    is_equivalent: bool | None = None
    """Whether the difference is shown to be smaller than the margin; None without an interval or a margin."""
    nothing_lost: bool | None = None
    """Whether a loss of the margin or more is refuted: the one of the two tests that concerns losses."""
    note: str = ""
    """Why there is no interval, or on what else than resamples it rests."""


@dataclass(frozen=True, slots=True, eq=False)
class _TaskDifferences:
    """The part of one tested task in a mean over cells of differences to the base."""

    value: float
    replicates: FloatArray
    """``(resample_count,)``"""
    unit_count: int
    changed_count: int
    """Units whose difference is not that of most others; all of them where no difference is that of most."""
    means: FloatArray | None
    """``(units,)``: each unit's mean difference; None where the metric is no mean of shares."""
    weights: FloatArray
    """``(units,)``: the share of each unit in the mean over cells."""


def infer(tasks: Sequence[Sequence[Pair]], card: MetricCard, *, level: float, margin: float) -> Inference:
    """Return what the mean over cells of the difference to the base tells: `mean_difference`, and equivalence.

    Args:
        tasks: For each tested task the pairs of its cells; items are resampled jointly within a task.
        card: The metric of all cells.
        level: Coverage of the interval.
        margin: Losses up to it count as nothing lost; for shares, and a hundred times that for points.
    """
    parts = _by_task(tasks, are_shares=card.unit == "share")
    scale = {"share": 1, "points": 100}.get(card.unit)
    found, *others = _inferences(parts, (level,) if scale is None else (level, EQUIVALENCE_LEVEL))
    if scale is None or found.low is None:
        return found
    smaller, allowed = others[0], margin * scale
    if smaller.low is None or smaller.high is None:
        return found
    lost_at_most = -smaller.low if card.higher_is_better else smaller.high
    is_equivalent = -allowed < smaller.low and smaller.high < allowed
    return replace(found, is_equivalent=is_equivalent, nothing_lost=lost_at_most < allowed)


def mean_difference(tasks: Sequence[Sequence[Pair]], *, level: float, are_shares: bool) -> Inference:
    """Return what is known of the mean over cells of the difference of pairs.

    The interval is the expanded percentile interval (`expanded_percentiles`) of the paired bootstrap. Where fewer than
    `MINIMUM_CHANGE_COUNT` units differ from the rest, resamples cannot know of rarer units: shares then get the
    interval of `few_changes_intervals`, others none. Fewer than `MINIMUM_UNIT_COUNT` units in a task get none at all.
    """
    return _inferences(_by_task(tasks, are_shares=are_shares), (level,))[0]


def _inferences(parts: Sequence[_TaskDifferences], levels: Sequence[float]) -> list[Inference]:
    """Return what is known at each level."""
    fewest = min(part.unit_count for part in parts)
    if fewest < MINIMUM_UNIT_COUNT:
        note = f"{fewest} independent items are too few for an interval ({MINIMUM_UNIT_COUNT} needed)"
        return [Inference(note=note)] * len(levels)
    changed, units = (sum(getattr(part, name) for part in parts) for name in ("changed_count", "unit_count"))
    if changed >= MINIMUM_CHANGE_COUNT:
        return _resampled(parts, levels)
    note = f"only {changed} of {units} independent items differ from the rest"
    means = [part.means for part in parts if part.means is not None]
    if len(means) < len(parts):
        return [Inference(note=f"{note}: too few for an interval")] * len(levels)
    weights = np.concatenate([part.weights for part in parts])
    return [
        Inference(note=f"{note}: an interval would exclude nothing of interest; test on more items")
        if high - low > WIDEST_INTERVAL
        else Inference(low, high, note=f"{note}: the interval allows for one more that changed as much as can be")
        for low, high in few_changes_intervals(np.concatenate(means), weights, levels)
    ]


def _resampled(parts: Sequence[_TaskDifferences], levels: Sequence[float]) -> list[Inference]:
    """Return the p-value, and the interval of each level, from resamples."""
    by_task = np.stack([part.replicates for part in parts])
    freedoms = np.array([part.unit_count - 1.0 for part in parts])
    # The bootstrap divides by n where a variance divides by n - 1.
    variances = by_task.var(axis=1, ddof=1) * (freedoms + 1) / freedoms
    freedom, error = degrees_of_freedom(variances, freedoms), float(np.sqrt(variances.sum()))
    replicates = differences(by_task.sum(axis=0), np.zeros(()))
    if error < ROUNDING:
        return [Inference(note="every resample gives the same difference: no interval")] * len(levels)
    stretch, value = error / float(replicates.std(ddof=1)), sum(part.value for part in parts)
    p_value = float(2 * stdtr(freedom, -abs(value) / error))
    intervals = (expanded_percentiles(replicates, freedom, stretch, level) for level in levels)
    return [Inference(low, high, p_value) for low, high in intervals]


def resampled_interval(
    replicates: FloatArray, unit_count: int, level: float
) -> tuple[float, float] | tuple[None, None]:
    """Return the expanded percentile interval of one task's replicates, or none where it would not be honest.

    Of a number that several tasks enter, ``unit_count`` is that of the task with the fewest units: never too narrow.
    """
    return percentiles_or_none(replicates, percentile_level(unit_count, level))


def gain_interval(
    own: tuple[ResampledScore, ResampledScore],
    base: tuple[ResampledScore, ResampledScore],
    *,
    level: float,
    are_shares: bool,
) -> tuple[float, float] | tuple[None, None]:
    """Return the interval of what the second of two scores has more than the first, less the same of the base.

    All four are scores of the same items. Where few of these gain anything that the base does not, resamples say too
    much, and shares get the interval of `few_changes_intervals`, as in `mean_difference`.
    """
    signed = [(-1, own[0]), (1, own[1]), (1, base[0]), (-1, base[1])]
    scores = [score for _, score in signed]
    units, places, sizes = np.unique(scores[0].units, return_inverse=True, return_counts=True)
    if are_shares and all(_is_mean_of_shares(score) and score.example_ids == scores[0].example_ids for score in scores):
        gains = np.sum([sign * score.statistics[:, 0] for sign, score in signed], axis=0)
        means = (np.bincount(places, weights=gains) / sizes).round(12)
        if len(units) >= MINIMUM_UNIT_COUNT and _changed_count(means) < MINIMUM_CHANGE_COUNT:
            # A gain less a gain lies within -2 and 2.
            low, high = (2 * end for end in few_changes_intervals(means / 2, sizes / sizes.sum(), [level])[0])
            return (low, high) if high - low <= WIDEST_INTERVAL else (None, None)
    replicates = np.sum([sign * score.replicates for sign, score in signed], axis=0)
    return resampled_interval(differences(replicates, np.zeros(())), len(units), level)


def percentile_level(unit_count: int, level: float) -> float | None:
    """Return the level of the percentiles of resamples that hold ``level``; None for too few independent units."""
    if unit_count < MINIMUM_UNIT_COUNT:
        return None
    return _expanded(unit_count - 1, float(np.sqrt(unit_count / (unit_count - 1))), level)


def percentiles_or_none(replicates: FloatArray, level: float | None) -> tuple[float, float] | tuple[None, None]:
    """Return the percentile interval; none without a `percentile_level`, and where every resample gives the same."""
    if level is None or np.ptp(replicates) < ROUNDING:
        return None, None
    return percentile_interval(replicates, level)


def expanded_percentiles(replicates: FloatArray, freedom: float, stretch: float, level: float) -> tuple[float, float]:
    """Return the percentile interval at the level that makes it as wide as the t interval for a mean of normal items.

    Percentiles of resamples are too narrow by ``sqrt((n - 1) / n)``, which ``stretch`` undoes, and by the normal
    quantile in place of Student's; with ten clusters a nominal 95 % covers about 90 %. Hesterberg 2015, "What Teachers
    Should Know About the Bootstrap", section 5.3.
    """
    return percentile_interval(replicates, _expanded(freedom, stretch, level))


def _expanded(freedom: float, stretch: float, level: float) -> float:
    return float(1 - 2 * ndtr(stretch * stdtrit(freedom, (1 - level) / 2)))


def degrees_of_freedom(variances: FloatArray, freedoms: FloatArray) -> float:
    """Return those of a sum of independent estimates with ``variances`` and ``freedoms`` (Satterthwaite 1946)."""
    total = variances.sum()
    return float(total**2 / (variances**2 / freedoms).sum()) if total > 0 else float(freedoms.min())


def wilson(score: ResampledScore, level: float) -> tuple[float, float] | None:
    """Return Wilson's interval of a share of items that are right or not; None for other scores and shared sources.

    Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    if not (is_right_or_wrong(score) and score.has_independent_items):
        return None
    right, count = score.statistics.sum(axis=0)
    share, z = right / count, ndtri((1 + level) / 2)
    center, half = share + z**2 / (2 * count), z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    whole = 1 + z**2 / count
    return float((center - half) / whole), float((center + half) / whole)


def mcnemar_p_value(own: ResampledScore, base: ResampledScore) -> float | None:
    """Return the exact p-value for items that are right or not; None for other scores and where items share a source.

    McNemar 1947; two-sided binomial test of the items on which the models disagree.
    """
    if not (is_right_or_wrong(own) and is_right_or_wrong(base) and own.has_independent_items):
        return None
    change = own.statistics[:, 0] - base.statistics[:, 0]
    won, lost = int((change > 0).sum()), int((change < 0).sum())
    return min(1.0, 2 * float(bdtr(min(won, lost), won + lost, 0.5)))


def is_mean(score: ResampledScore) -> bool:
    """True when the metric is the mean of one value per item."""
    return score.statistics.shape[1] == 2 and bool((score.statistics[:, 1] == 1).all())


def is_right_or_wrong(score: ResampledScore) -> bool:
    """True when the metric is the share of items whose value is 1 and not 0."""
    values = score.statistics[:, 0]
    return is_mean(score) and bool(((values == 0) | (values == 1)).all())


def _is_mean_of_shares(score: ResampledScore) -> bool:
    values = score.statistics[:, 0]
    return is_mean(score) and bool(((values >= 0) & (values <= 1)).all())


def _by_task(tasks: Sequence[Sequence[Pair]], *, are_shares: bool) -> list[_TaskDifferences]:
    cell_count = sum(map(len, tasks))
    return [_of_task(pairs, cell_count, are_shares) for pairs in tasks]


def _of_task(pairs: Sequence[Pair], cell_count: int, are_shares: bool) -> _TaskDifferences:
    value = float(sum(own.value - base.value for own, base in pairs)) / cell_count
    replicates = np.sum([own.replicates - base.replicates for own, base in pairs], axis=0) / cell_count
    items = np.concatenate([own.units for own, _ in pairs])
    shares = np.concatenate([np.full(len(own.units), 1 / (cell_count * len(own.units))) for own, _ in pairs])
    present = np.bincount(items) > 0
    weights = np.asarray(np.bincount(items, weights=shares)[present], dtype=np.float64)
    if not (are_shares and all(map(_is_mean_of_shares, (score for pair in pairs for score in pair)))):
        changed = [own.units[(own.statistics != base.statistics).any(axis=1)] for own, base in pairs]
        changed_count = len(np.unique(np.concatenate(changed)))
        return _TaskDifferences(value, replicates, len(weights), changed_count, None, weights)
    change = np.concatenate([own.statistics[:, 0] - base.statistics[:, 0] for own, base in pairs])
    means = np.asarray(np.bincount(items, weights=shares * change)[present] / weights, dtype=np.float64).round(12)
    return _TaskDifferences(value, replicates, len(weights), _changed_count(means), means, weights)


def _changed_count(means: FloatArray) -> int:
    """Return how many units differ from the most frequent value; all of them where it is not that of most."""
    changed_count = len(means) - int(np.unique(means, return_counts=True)[1].max())
    # Where nothing is the rule, nothing is the exception.
    return len(means) if 2 * changed_count >= len(means) else changed_count
