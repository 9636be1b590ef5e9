"""Which recipe keeps the most: target against retained score, the Pareto front, and recipes at matched target score."""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from spillover.analysis.counterpart import is_plain
from spillover.questions.frontier.curves import (
    CurvePoint,
    MatchedComparison,
    Ranged,
    estimate,
    matched_comparisons,
    segments_of,
)
from spillover.records import BASE, FloatArray, Relation, StudyResults, VariantCard
from spillover.statistics.cells import ScoreKey, Scores
from spillover.statistics.means import is_share, mean_difference, primary_cells
from spillover.statistics.paired import content_seed
from spillover.statistics.resampled import percentile_level
from spillover.statistics.scatter import seed_noise

_AT_HOME = frozenset({Relation.IN_DOMAIN})
_ELSEWHERE = frozenset({Relation.OUT_OF_DOMAIN, Relation.CROSS_TASK})
_OTHER_DATA = frozenset({Relation.OUT_OF_DOMAIN})


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """One recipe at one setting, or the base, on the plane of target and retained score.

    Scores are means over cells, every cell and every training seed weighing the same (sheet spider, section 4).
    """

    name: str
    """The variant's name, without task, size and seed."""
    recipe: str
    """The study's entry that it is a point of."""
    seed_count: int
    """Training seeds that its scores are means over."""
    target: Ranged
    """T: the mean in-domain score."""
    retained: Ranged
    """S: the mean score out of domain and across tasks."""
    harmonic: Ranged
    """2 T S / (T + S)."""
    arithmetic: Ranged
    """(T + S) / 2."""
    gain: Ranged
    """T less the base's."""
    change: Ranged
    """S less the base's."""
    is_on_front: bool
    """True when no other point is as good in both scores and better in one."""
    front_share: float
    """Share of the resamples in which the point is on the front."""
    domain_change: Ranged | None
    """Mean out-of-domain score less the base's; None unless it is a part of what is retained and not all of it."""
    is_on_domain_front: bool
    """True when no other point is as good in domain and out of domain and better in one."""
    variants: tuple[str, ...]
    """Ids of the variants that its scores are means over; empty for the base."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """The recipes trained on the same rows."""

    trained_on: str
    size: int
    target_kind: str
    """What the metric of the target measures, see `MetricCard.kind`."""
    retained_kind: str
    """The same of what is retained."""
    points: tuple[FrontierPoint, ...]
    """The base first."""
    segments: tuple[tuple[str, str], ...]
    """Names of neighbouring points of one recipe: the pieces of its curve."""
    matched: tuple[MatchedComparison, ...]


def frontiers(results: StudyResults, scores: Scores, *, level: float) -> tuple[Frontier, ...]:
    """Return one frontier per training task and size that at least two variants share, and per kinds of metric.

    Variants that differ in their training seed alone are one point. A task and size without a tested in-domain cell, or
    without any other, has no frontier; only primary metrics that are shares enter, and never two kinds in one mean.
    Gains and changes have the intervals of `mean_difference`, what else there is those of `resampled_interval`; both
    hold for other training seeds where a point has several.

    Raises:
        ValueError: When a mean score is negative or not finite.
    """
    groups: dict[tuple[str, int], list[VariantCard]] = {}
    for card in results.variants:
        groups.setdefault((card.trained_on, card.size), []).append(card)
    made = []
    for (trained_on, size), cards in groups.items():
        shared, cards = _shared(results, cards)
        plane = _Plane(shared, scores, level)
        if not cards:
            continue
        near, far = (plane.kinds(cards[0], side) for side in (_AT_HOME, _ELSEWHERE))
        for target_kind, retained_kind in product(near, far):
            points = [plane.point(own, target_kind, retained_kind) for own in _named(cards)]
            if len(points) > 1:
                base = plane.base(cards[0], target_kind, retained_kind)
                made.append(_frontier((trained_on, size, target_kind, retained_kind), base, points, level))
    return tuple(made)


def _shared(results: StudyResults, cards: list[VariantCard]) -> tuple[StudyResults, list[VariantCard]]:
    """Return the results of the tasks that all cards were asked, or points would be means over different cells.

    A classifier that no task at home or none elsewhere has a label for takes no part.
    """

    def tasks(card: VariantCard, side: Set[Relation]) -> set[str]:
        return {task.name for task in results.tasks if results.relations.get((card.id, task.name)) in side}

    cards = [card for card in cards if not card.is_classifier or (tasks(card, _AT_HOME) and tasks(card, _ELSEWHERE))]
    if not any(card.is_classifier for card in cards):
        return results, cards
    common = set.intersection(*(tasks(card, set(Relation)) for card in cards))
    return replace(results, tasks=tuple(task for task in results.tasks if task.name in common)), cards


def _named(cards: Sequence[VariantCard]) -> list[list[VariantCard]]:
    named: dict[str, list[VariantCard]] = {}
    for card in cards:
        named.setdefault(card.name, []).append(card)
    return list(named.values())


def harmonic_mean(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return ``2 a b / (a + b)`` elementwise; where either is zero it is zero, the limit.

    Raises:
        ValueError: On negative or non-finite scores, of which a harmonic mean says nothing.
    """
    both = np.stack([first, second])
    if not np.isfinite(both).all() or (both < 0).any():
        raise ValueError(
            f"a harmonic mean needs finite scores from zero up, got {both.min():g} to {both.max():g}; "
            "give the tested tasks a primary metric between 0 and 1"
        )
    total = first + second
    return np.divide(2 * first * second, total, out=np.zeros_like(total), where=total > 0)


def on_front(targets: FloatArray, retained: FloatArray) -> NDArray[np.bool_]:
    """Return which points, ``(points, resamples)``, no other point equals in both scores while it is better in one."""
    member = np.ones(targets.shape, dtype=bool)
    for index in range(len(targets)):
        as_good = (targets >= targets[index]) & (retained >= retained[index])
        better = (targets > targets[index]) | (retained > retained[index])
        member[index] = ~(as_good & better).any(axis=0)
    return member


@dataclass(frozen=True, slots=True)
class _Point:
    """A point as its curve sees it, and its differences to the base."""

    variants: tuple[str, ...]
    curve: CurvePoint
    gain: Ranged
    change: Ranged
    domain_change: Ranged | None
    unit_count: int
    """Independent items of the smallest task."""


@dataclass(frozen=True, slots=True)
class _Plane:
    """Scores of a study, on the plane of a target and what is retained."""

    results: StudyResults
    scores: Scores
    level: float

    def kinds(self, card: VariantCard, side: Set[Relation]) -> list[str]:
        """Return the kinds of metric that a variant was tested by on one side of the plane."""
        keys = self._keys(card, side, None)
        return list(dict.fromkeys(self.results.metrics[key.metric].kind for key in keys))

    def base(self, card: VariantCard, target_kind: str, retained_kind: str) -> _Point:
        """Return the base's point, in the cells of a variant."""
        return self.point([card], target_kind, retained_kind, model=BASE)

    def point(self, cards: Sequence[VariantCard], target_kind: str, retained_kind: str, *, model: str = "") -> _Point:
        """Return the point of variants that differ in their training seed alone, or in their cells the ``model``'s."""
        sides = [(_AT_HOME, target_kind), (_ELSEWHERE, retained_kind), (_OTHER_DATA, retained_kind)]
        keys = [[self._keys(card, side, kind, model) for card in cards] for side, kind in sides]
        other_tasks = self._keys(cards[0], {Relation.CROSS_TASK}, retained_kind)
        has_domain = bool(other_tasks) and bool(keys[2][0])
        near, far, *domain = self._scores_of(keys if has_domain else keys[:2])
        differences_to_base = [
            None
            if model or not own[0]
            else mean_difference(
                own, self.scores, self.results.metrics[own[0][0].metric], level=self.level, margin=self.results.margin
            )
            for own in keys
        ]
        gain, change, domain_change = (
            Ranged(mean.difference, mean.found.low, mean.found.high) if mean else Ranged(0.0, 0.0, 0.0)
            for mean in differences_to_base
        )
        recipe, *settings = re.split("[~@]", model or cards[0].name)
        kind = (cards[0].recipe.get("afterwards") or {}).get("kind")
        curve = CurvePoint(
            name=model or cards[0].name,
            recipe=recipe,
            settings={word: value for word, _, value in (item.partition("=") for item in settings)},
            starts_at_base=kind in ("interpolate", "lora-scale"),
            is_plain=not model and is_plain(cards[0]),
            seed_count=len(cards),
            target=near,
            retained=far,
            out_of_domain=domain[0] if domain else None,
        )
        fewest = min(self.scores[key].unit_count for side in keys[:2] for own in side for key in own)
        variants = () if model else tuple(card.id for card in cards)
        return _Point(variants, curve, gain, change, domain_change if has_domain else None, fewest)

    def _keys(self, card: VariantCard, side: Set[Relation], kind: str | None, model: str = "") -> list[ScoreKey]:
        tasks = [
            task
            for task in self.results.tasks
            if self.results.relations.get((card.id, task.name)) in side
            and is_share(task, self.results)
            and kind in (None, self.results.metrics[task.primary_metric].kind)
        ]
        return [key._replace(variant=model or card.id) for key in primary_cells(self.scores, card.id, tasks)]

    def _scores_of(self, sides: Sequence[Sequence[Sequence[ScoreKey]]]) -> list[FloatArray]:
        """Return the mean score of each side ``(1 + resample_count,)``, over all items first.

        Several seeds are drawn anew in each resample, as Student's t of their mean has it, jointly for all sides.
        """
        stacked = np.array([[self._mean(own) for own in side] for side in sides])
        means = stacked.mean(axis=1)
        if stacked.shape[1] > 1:
            generator = np.random.default_rng(content_seed(*(key.variant for own in sides[0] for key in own[:1])))
            means[:, 1:] += seed_noise(stacked[:, :, 0], stacked[:, :, 1:], generator)
        # Sums of equal scores in another order must stay equal; a share is never below zero.
        return [np.asarray(row.round(12).clip(min=0), dtype=np.float64) for row in means]

    def _mean(self, keys: Sequence[ScoreKey]) -> FloatArray:
        rows = [np.concatenate([[self.scores[key].value], self.scores[key].replicates]) for key in keys]
        return np.asarray(np.mean(rows, axis=0), dtype=np.float64)


def _frontier(where: tuple[str, int, str, str], base: _Point, others: Sequence[_Point], level: float) -> Frontier:
    points = [base, *others]
    curves = [point.curve for point in points]
    targets = np.stack([curve.target for curve in curves])
    member = on_front(targets, np.stack([curve.retained for curve in curves]))
    domain = [curve.out_of_domain for curve in curves if curve.out_of_domain is not None]
    on_domain_front = on_front(targets, np.stack(domain))[:, 0] if domain else np.zeros(len(points), dtype=bool)
    recipes: dict[str, list[CurvePoint]] = {}
    for curve in curves[1:]:
        recipes.setdefault(curve.recipe, []).append(curve)
    segments = {recipe: segments_of(own, base.curve) for recipe, own in recipes.items()}
    percentiles = percentile_level(min(point.unit_count for point in points), level)
    return Frontier(
        *where,
        points=tuple(
            _described(point, front, bool(domain_front), percentiles)
            for point, front, domain_front in zip(points, member, on_domain_front, strict=True)
        ),
        segments=tuple((first.name, second.name) for pieces in segments.values() for first, second in pieces),
        matched=matched_comparisons(recipes, segments, level=percentiles),
    )


def _described(point: _Point, front: NDArray[np.bool_], on_domain_front: bool, level: float | None) -> FrontierPoint:
    curve = point.curve
    return FrontierPoint(
        name=curve.name,
        recipe=curve.recipe,
        seed_count=curve.seed_count,
        target=estimate(curve.target, level),
        retained=estimate(curve.retained, level),
        harmonic=estimate(harmonic_mean(curve.target, curve.retained), level),
        arithmetic=estimate((curve.target + curve.retained) / 2, level),
        gain=point.gain,
        change=point.change,
        is_on_front=bool(front[0]),
        front_share=float(front[1:].mean()),
        domain_change=point.domain_change,
        is_on_domain_front=on_domain_front,
        variants=point.variants,
    )
