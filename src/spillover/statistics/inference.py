"""What weighted sums of scores tell: an interval or why there is none, a p-value, and whether anything was lost."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.records import FloatArray, MetricCard
from spillover.statistics.cells import ResampledScore
from spillover.statistics.distributions import ndtri
from spillover.statistics.flips import flipped
from spillover.statistics.gaffke import Confidence, combined, gaffke, widened
from spillover.statistics.paired import ROUNDING
from spillover.statistics.resampled import (
    MINIMUM_CHANGE_COUNT,
    MINIMUM_UNIT_COUNT,
    from_resamples,
    half_widths,
    spread_over,
)

ONE_SIDED = 0.95
"""Of the tests of what was lost at most, and of equivalence, which is two of them (Schuirmann 1987)."""

WIDEST_INTERVAL = 0.5
"""Of what a mean of bounded values can be; a wider interval is no answer."""

MARGIN_UNITS = {"points": 100.0}
"""What a margin of 1 is in units other than a share, a correlation or nats, where it is 1."""

Pair = tuple[ResampledScore, ResampledScore]
"""A variant's and the base's score of the same cell."""

Weighted = tuple[float, ResampledScore]
"""A score and its weight in a sum."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """Another reason than items why a mean is off, such as its training seeds."""

    error: float
    """Standard error of the mean."""
    freedom: float
    """Degrees of freedom of its variance."""


@dataclass(frozen=True, slots=True)
class Inference:
    """What is known of a difference beyond its value."""

    low: float | None = None
    """Of the interval; None where no interval would be honest."""
    high: float | None = None
    p_value: float | None = None
    """Of no difference, two-sided: one less the largest level whose interval excludes zero."""
    is_equivalent: bool | None = None
    """Whether the difference is shown to be smaller than the margin; None without an interval."""
    nothing_lost: bool | None = None
    """Whether a loss of the margin or more is refuted: the one of the two tests that concerns losses."""
    note: str = ""
    """Why there is no interval, or on what it rests where that is not the items as they are."""
    largest_loss: float | None = None
    """The largest loss that is not excluded, one-sided at 95 %; zero or below where a gain is shown."""
    confidence: Confidence | None = None
    """The ends at every level; None where there is no interval."""


def infer(
    tasks: Sequence[Sequence[Pair]], card: MetricCard, *, level: float, margin: float, scatter: Sequence[Scatter] = ()
) -> Inference:
    """Return what the mean over cells of the difference to the base tells, every cell weighing the same.

    Args:
        tasks: For each tested task the pairs of its cells; items are resampled jointly within a task.
        card: A metric of the cells' kind.
        level: Coverage of the interval.
        margin: Losses up to it count as nothing lost; for shares, and a hundred times that for points.
        scatter: What else the mean varies with.
    """
    weight = 1 / sum(map(len, tasks))
    sums = [[term for own, base in pairs for term in ((weight, own), (-weight, base))] for pairs in tasks]
    confidence, note = weighted_sum(sums, unit=card.unit, scatter=scatter)
    return told(confidence, note, card, level=level, margin=margin)


def told(confidence: Confidence | None, note: str, card: MetricCard, *, level: float, margin: float) -> Inference:
    """Return what the ends of a difference at every level tell of it."""
    if confidence is None:
        return Inference(note=note)
    low, high = confidence.interval(level)
    least, most, allowed = confidence.lower(ONE_SIDED), confidence.upper(ONE_SIDED), margin * unit_margin(card)
    largest_loss = -least if card.higher_is_better else most
    is_equivalent = -allowed < least and most < allowed
    p_value = confidence.p_value
    return Inference(low, high, p_value, is_equivalent, largest_loss < allowed, note, largest_loss, confidence)


def unit_margin(card: MetricCard) -> float:
    """Return what a margin of 1 is in the metric's own unit."""
    return MARGIN_UNITS.get(card.unit, 1.0)


def weighted_sum(
    tasks: Sequence[Sequence[Weighted]], *, unit: str, scatter: Sequence[Scatter] = ()
) -> tuple[Confidence | None, str]:
    """Return how far a weighted sum of scores may be off, or None and why nothing can be said.

    The items of a task have Gaffke's interval (`gaffke`) where the metric is a mean of bounded values; where items
    share sources the ends are also as far off as random signs of the sources put them (`flipped`). Other metrics have
    that of resamples. Tasks, and what else the sum varies with, are combined by MOVER.

    Args:
        tasks: For each tested task its scores and their weights in the sum.
        unit: Of the metric, see `MetricCard.unit`.
        scatter: What else the sum varies with.
    """
    found = [_of_task(terms, unit) for terms in tasks]
    parts = [part for part, _, _ in found if part is not None]
    notes = list(dict.fromkeys(note for _, note, _ in found if note))
    if len(parts) < len(found):
        return None, next(note for part, note, _ in found if part is None)
    of_items = combined(parts, [1.0] * len(parts)) if len(parts) > 1 else parts[0]
    total = of_items
    for reason in scatter:
        total = widened(total, half_widths(reason.error, reason.freedom))
    widths = [bounds[1] - bounds[0] for _, _, bounds in found if bounds]
    if len(widths) == len(found):
        reach = max(widths) * sum(abs(weight) for terms in tasks for weight, _ in terms)
        low, high = of_items.interval(0.95)
        # Wide for its seeds it is given: kept back, those of studies whose seeds happen to agree would be left.
        if high - low > WIDEST_INTERVAL * reach:
            units = min(terms[0][1].unit_count for terms in tasks)
            return None, f"{units} independent items: an interval would exclude nothing of interest; test on more items"
    return total, "; ".join(notes)


_Bounds = tuple[float, float] | None
"""What an item's value lies between where the metric is the mean of them, else None; one unit's lie in one another."""


def _of_task(terms: Sequence[Weighted], unit: str) -> tuple[Confidence | None, str, _Bounds]:
    scores = [score for _, score in terms]
    unit_count = min(score.unit_count for score in scores)
    if unit_count < MINIMUM_UNIT_COUNT:
        few = f"{unit_count} independent items are too few for an interval ({MINIMUM_UNIT_COUNT} needed)"
        return None, few, None
    bounds = _bounds(scores, unit)
    found = _resampled(terms, unit_count) if bounds is None else _bounded(terms, bounds)
    return *found, bounds


def _bounded(terms: Sequence[Weighted], bounds: tuple[float, float]) -> tuple[Confidence, str]:
    """Return what is known of a sum of means of values within ``bounds``."""
    parts = np.zeros(1 + max(int(score.units.max()) for _, score in terms))
    shares, reach = np.zeros_like(parts), sum(abs(weight) for weight, _ in terms)
    for weight, score in terms:
        count = len(score.units)
        parts += np.bincount(score.units, weights=weight * score.statistics[:, 0] / count, minlength=len(parts))
        shares += np.bincount(score.units, minlength=len(parts)) * (abs(weight) / reach / count)
    present = shares > 0
    weights = shares[present]
    means = (parts[present] / weights).round(12)
    lowest = sum(min(weight * bound for bound in bounds) for weight, _ in terms)
    highest = sum(max(weight * bound for bound in bounds) for weight, _ in terms)
    is_independent = all(score.has_independent_items for _, score in terms)
    item_count = None if is_independent else max(len(score.units) for _, score in terms)
    return mean_of_units(means, weights, lowest=lowest, highest=highest, item_count=item_count)


def mean_of_units(
    means: FloatArray, weights: FloatArray, *, lowest: float, highest: float, item_count: int | None
) -> tuple[Confidence, str]:
    """Return how far a weighted mean of bounded units may be off, and a note where that rests on one more of them.

    Args:
        means: The mean of each unit, ``(n,)``.
        weights: Their shares in the mean, ``(n,)``, which sum to 1.
        lowest: What a unit may have at the least.
        highest: What a unit may have at the most.
        item_count: Items of all units, where these are sources that items share; None where each item is one.
    """
    if item_count is None:
        return gaffke(means, weights, lowest=lowest, highest=highest), ""
    changed = spread_over(means * weights)
    if changed < MINIMUM_CHANGE_COUNT:
        note = (
            f"the change is spread over {changed:.0f} of {len(means)} sources: the interval allows for one more that "
        )
        return gaffke(means, weights, lowest=lowest, highest=highest), note + "changed as much as can be"
    near = gaffke(means, weights, lowest=lowest, highest=highest, imagined=len(means) / item_count)
    signs = flipped(means, weights)
    return Confidence(near.value, np.maximum(near.below, signs.below), np.maximum(near.above, signs.above)), ""


def _resampled(terms: Sequence[Weighted], unit_count: int) -> tuple[Confidence | None, str]:
    """Return what resamples tell of a sum of scores that are no means of bounded values."""
    units = 1 + max(int(score.units.max()) for _, score in terms)
    changes = np.zeros((units, terms[0][1].statistics.shape[1]))
    for weight, score in terms:
        np.add.at(changes, score.units, weight * score.statistics)
    changed = spread_over(changes[np.bincount(terms[0][1].units, minlength=units) > 0])
    replicates = np.sum([weight * score.replicates for weight, score in terms], axis=0)
    value = sum(weight * score.value for weight, score in terms)
    if changed < MINIMUM_CHANGE_COUNT:
        note = f"the change is spread over {changed:.0f} of {unit_count} independent items: too few for an interval"
        return None, note
    if float(np.ptp(replicates)) < ROUNDING:
        return None, "every resample gives the same difference: no interval"
    return from_resamples(value, replicates, unit_count), "from resamples of the items"


def _bounds(scores: Sequence[ResampledScore], unit: str) -> _Bounds:
    if not all(map(is_mean, scores)):
        return None
    lowest, highest = (float(end([end(score.statistics[:, 0]) for score in scores])) for end in (np.min, np.max))
    known: Sequence[tuple[float, float]] = {
        "share": [(0.0, 1.0), (-1.0, 1.0)],
        "squared distance": [(0.0, 2.0)],
    }.get(unit, [])
    return next((bounds for bounds in known if bounds[0] <= lowest and highest <= bounds[1]), None)


def single(score: ResampledScore, unit: str) -> Confidence | None:
    """Return how far a score by itself may be off, however far that is; None where nothing can be said."""
    return _of_task([(1.0, score)], unit)[0]


def wilson(score: ResampledScore, level: float) -> tuple[float, float] | None:
    """Return Wilson's interval of a share of items that are right or not; None for other scores and shared sources.

    Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    if not (is_right_or_wrong(score) and score.has_independent_items):
        return None
    right, count = score.statistics.sum(axis=0)
    return wilson_of(float(right), float(count), level)


def wilson_of(right: float, count: float, level: float) -> tuple[float, float]:
    """Return Wilson's interval of ``right`` of ``count`` independent items."""
    share, z = right / count, ndtri((1 + level) / 2)
    center, half = share + z**2 / (2 * count), z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    whole = 1 + z**2 / count
    return float((center - half) / whole), float((center + half) / whole)


def is_mean(score: ResampledScore) -> bool:
    """True when the metric is the mean of one value per item."""
    return score.statistics.shape[1] == 2 and bool((score.statistics[:, 1] == 1).all())


def is_right_or_wrong(score: ResampledScore) -> bool:
    """True when the metric is the share of items whose value is 1 and not 0."""
    values = score.statistics[:, 0]
    return is_mean(score) and bool(((values == 0) | (values == 1)).all())
