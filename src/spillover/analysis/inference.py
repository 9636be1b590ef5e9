"""What differences to the base say: an interval or why there is none, a p-value, and whether anything was lost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import bdtr, ndtr, ndtri, stdtr, stdtrit

from spillover.analysis.cells import ResampledScore
from spillover.analysis.paired import ROUNDING, differences, percentile_interval
from spillover.records import FloatArray, MetricCard

EQUIVALENCE_LEVEL = 0.90
"""Two one-sided tests at 5 % both reject just when the 90 % interval lies within the margin (Schuirmann 1987)."""

MINIMUM_UNIT_COUNT = 10
"""Independent items, or groups of items that share a source, below which no interval is given."""

MINIMUM_CHANGE_COUNT = 10
"""Units whose difference is not the most frequent one, below which resamples say nothing of the rest: with none of
them every resample is the same."""

WIDEST_BOUND = 1.0
"""Of an exact bound on a difference of shares, which lies within -1 and 1: a wider one is no answer."""

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

    weight: float
    """Share of the cells."""
    replicates: FloatArray
    """``(resample_count,)``: the resampled mean over the task's cells."""
    unit_count: int
    changed_count: int
    """Units whose difference is not that of most others; all of them where no difference is that of most."""
    most_frequent: float
    """Difference of a unit; not known where the metric is no mean of shares, and then nothing is built on it."""
    largest: float
    """Size of the largest unit by that of the mean one; 1 for independent items."""


def infer(tasks: Sequence[Sequence[Pair]], card: MetricCard, *, level: float, margin: float) -> Inference:
    """Return what the mean over cells of the difference to the base tells.

    The interval is the expanded percentile interval (`expanded_percentiles`) of the paired bootstrap. Where fewer than
    `MINIMUM_CHANGE_COUNT` units differ from the rest, resamples cannot know of rarer units, and the interval rests on
    the exact (Clopper-Pearson) bound of the share of such units instead. Fewer than `MINIMUM_UNIT_COUNT` units in a
    task get none at all.

    Args:
        tasks: For each tested task the pairs of its cells; items are resampled jointly within a task.
        card: The metric of all cells.
        level: Coverage of the interval.
        margin: Losses up to it count as nothing lost; for shares, and a hundred times that for points.
    """
    cell_count = sum(map(len, tasks))
    parts = [_of_task(pairs, cell_count, card) for pairs in tasks]
    fewest = min(part.unit_count for part in parts)
    if fewest < MINIMUM_UNIT_COUNT:
        return Inference(note=f"{fewest} independent items are too few for an interval ({MINIMUM_UNIT_COUNT} needed)")
    changed, units = (sum(getattr(part, name) for part in parts) for name in ("changed_count", "unit_count"))
    if changed >= MINIMUM_CHANGE_COUNT:
        value = float(sum(own.value - base.value for pairs in tasks for own, base in pairs)) / cell_count
        made, smaller = _resampled(parts, value, level)
    elif all(_is_mean_of_shares(pair, card) for pairs in tasks for pair in pairs):
        bound = _rare_change_bound(parts, level)
        note = f"only {changed} of {units} independent items differ from the rest: the exact bound of their share"
        if bound[1] - bound[0] > WIDEST_BOUND:
            return Inference(note=f"{note} excludes nothing of interest; test on more items")
        made = Inference(*bound, note=note)
        smaller = _rare_change_bound(parts, EQUIVALENCE_LEVEL)
    else:
        return Inference(note=f"only {changed} of {units} independent items differ: too few for an interval")
    scale = {"share": 1, "points": 100}.get(card.unit)
    if scale is None or smaller is None:
        return made
    (low, high), allowed = smaller, margin * scale
    lost_at_most = -low if card.higher_is_better else high
    return replace(made, is_equivalent=-allowed < low and high < allowed, nothing_lost=lost_at_most < allowed)


def _resampled(
    parts: Sequence[_TaskDifferences], value: float, level: float
) -> tuple[Inference, tuple[float, float] | None]:
    """Return interval and p-value from resamples, and the interval of `EQUIVALENCE_LEVEL`."""
    weighted = np.stack([part.weight * part.replicates for part in parts])
    freedoms = np.array([part.unit_count - 1.0 for part in parts])
    # The bootstrap divides by n where a variance divides by n - 1.
    variances = weighted.var(axis=1, ddof=1) * (freedoms + 1) / freedoms
    freedom, error = degrees_of_freedom(variances, freedoms), float(np.sqrt(variances.sum()))
    replicates = differences(weighted.sum(axis=0), np.zeros(()))
    if error < ROUNDING:
        return Inference(note="every resample gives the same difference: no interval"), None
    stretch = error / float(replicates.std(ddof=1))
    usual, smaller = (expanded_percentiles(replicates, freedom, stretch, at) for at in (level, EQUIVALENCE_LEVEL))
    return Inference(*usual, p_value=float(2 * stdtr(freedom, -abs(value) / error))), smaller


def resampled_interval(
    replicates: FloatArray, unit_count: int, level: float
) -> tuple[float, float] | tuple[None, None]:
    """Return the expanded percentile interval of one task's replicates, or none where it would not be honest."""
    if unit_count < MINIMUM_UNIT_COUNT or np.ptp(replicates) < ROUNDING:
        return None, None
    freedom = unit_count - 1
    return expanded_percentiles(replicates, freedom, float(np.sqrt(unit_count / freedom)), level)


def expanded_percentiles(replicates: FloatArray, freedom: float, stretch: float, level: float) -> tuple[float, float]:
    """Return the percentile interval at the level that makes it as wide as the t interval for a mean of normal items.

    Percentiles of resamples are too narrow by ``sqrt((n - 1) / n)``, which ``stretch`` undoes, and by the normal
    quantile in place of Student's; with ten clusters a nominal 95 % covers about 90 %. Hesterberg 2015, "What Teachers
    Should Know About the Bootstrap", section 5.3.
    """
    tail = ndtr(stretch * stdtrit(freedom, (1 - level) / 2))
    return percentile_interval(replicates, float(1 - 2 * tail))


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


def _is_mean_of_shares(pair: Pair, card: MetricCard) -> bool:
    values = np.concatenate([score.statistics[:, 0] for score in pair])
    return card.unit == "share" and all(map(is_mean, pair)) and bool(((values >= 0) & (values <= 1)).all())


def _of_task(pairs: Sequence[Pair], cell_count: int, card: MetricCard) -> _TaskDifferences:
    units, sizes = np.unique(np.concatenate([own.units for own, _ in pairs]), return_counts=True)
    replicates = np.mean([own.replicates - base.replicates for own, base in pairs], axis=0)
    if all(_is_mean_of_shares(pair, card) for pair in pairs):
        found, counts = np.unique(_unit_differences(pairs)[units], return_counts=True)
        most_frequent, changed_count = float(found[counts.argmax()]), int(len(units) - counts.max())
        if 2 * changed_count >= len(units):  # nothing is the rule here, so nothing is the exception
            changed_count = len(units)
    else:
        changed = [own.units[(own.statistics != base.statistics).any(axis=1)] for own, base in pairs]
        most_frequent, changed_count = 0.0, len(np.unique(np.concatenate(changed)))
    weight, largest = len(pairs) / cell_count, float(sizes.max() / sizes.mean())
    return _TaskDifferences(weight, replicates, len(units), changed_count, most_frequent, largest)


def _unit_differences(pairs: Sequence[Pair]) -> FloatArray:
    """Return each unit's mean difference over the items and cells in which it occurs, by unit number."""
    units = np.concatenate([own.units for own, _ in pairs])
    change = np.concatenate([own.statistics[:, 0] - base.statistics[:, 0] for own, base in pairs])
    means = np.bincount(units, weights=change) / np.maximum(np.bincount(units), 1)
    return np.asarray(np.round(means, 12), dtype=np.float64)


def _rare_change_bound(parts: Sequence[_TaskDifferences], level: float) -> tuple[float, float]:
    """Return the interval that holds whatever the rare units' differences are, from their share's exact upper bound.

    A unit's difference lies within -1 and 1, so a share ``u`` of units that leave the most frequent difference ``m``
    moves the mean to no less than ``m - u (1 + m)`` and no more than ``m + u (1 - m)``. Units of a small task, and
    large ones, weigh more in the mean; the heaviest weight is taken for all.
    """
    from statsmodels.stats.proportion import proportion_confint

    changed, count = (sum(getattr(part, name) for part in parts) for name in ("changed_count", "unit_count"))
    upper = float(proportion_confint(changed, count, alpha=1 - level, method="beta")[1])
    heaviest = max(part.weight * part.largest / part.unit_count for part in parts) * count
    share = min(1.0, upper * heaviest)
    middle = sum(part.weight * part.most_frequent for part in parts)
    return middle - share * (1 + middle), middle + share * (1 - middle)
