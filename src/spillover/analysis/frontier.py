"""Which recipe keeps the most: target against retained score, the Pareto front, and recipes at matched target score."""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.analysis.cells import ScoreKey, Scores, cells_of
from spillover.analysis.curves import (
    CurvePoint,
    Estimate,
    MatchedComparison,
    estimate,
    matched_comparisons,
    segments_of,
)
from spillover.analysis.inference import percentile_level
from spillover.analysis.paired import differences
from spillover.analysis.relations import enters_means
from spillover.records import BASE, FloatArray, Relation, StudyResults, VariantCard

_ELSEWHERE = {Relation.OUT_OF_DOMAIN, Relation.CROSS_TASK}


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
    target: Estimate
    """T: the mean in-domain score."""
    retained: Estimate
    """S: the mean score out of domain and across tasks."""
    harmonic: Estimate
    """2 T S / (T + S)."""
    arithmetic: Estimate
    """(T + S) / 2."""
    gain: Estimate
    """T less the base's."""
    change: Estimate
    """S less the base's."""
    is_on_front: bool
    """True when no other point is as good in both scores and better in one."""
    front_share: float
    """Share of the resamples in which the point is on the front."""
    domain_change: Estimate | None
    """Mean out-of-domain score less the base's; None unless it is a part of what is retained and not all of it."""
    is_on_domain_front: bool
    """True when no other point is as good in domain and out of domain and better in one."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """The recipes trained on the same rows."""

    trained_on: str
    size: int
    points: tuple[FrontierPoint, ...]
    """The base first."""
    segments: tuple[tuple[str, str], ...]
    """Names of neighbouring points of one recipe: the pieces of its curve."""
    matched: tuple[MatchedComparison, ...]


def frontiers(results: StudyResults, scores: Scores, *, level: float) -> tuple[Frontier, ...]:
    """Return one frontier per training task and size that at least two variants share.

    Variants that differ in their training seed alone are one point. A task and size without a tested in-domain cell, or
    without any other, has no frontier; only primary metrics that are shares enter, as in the relation means. Intervals
    are those of `resampled_interval`.

    Raises:
        ValueError: When a mean score is negative or not finite.
    """
    groups: dict[tuple[str, int], list[VariantCard]] = {}
    for card in results.variants:
        groups.setdefault((card.trained_on, card.size), []).append(card)
    made = []
    for (trained_on, size), cards in groups.items():
        points = _points(cards, results, scores)
        if len(points) > 2:
            keys = _keys(cards[:1], BASE, frozenset(Relation), results, scores)
            fewest = min(scores[key].unit_count for key in keys)
            made.append(_frontier(trained_on, size, points, percentile_level(fewest, level)))
    return tuple(made)


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


def _points(cards: Sequence[VariantCard], results: StudyResults, scores: Scores) -> list[CurvePoint]:
    """Return the base and each differently named variant; nothing where a side of the plane has no cell."""
    named: dict[str, list[VariantCard]] = {}
    for card in cards:
        named.setdefault(card.name, []).append(card)
    points: list[CurvePoint] = []
    for model, name, own in [(BASE, BASE, cards[:1]), *(("", name, own) for name, own in named.items())]:
        near, far, other_data, other_tasks = (
            _mean(_keys(own, model, frozenset(side), results, scores), scores)
            for side in ({Relation.IN_DOMAIN}, _ELSEWHERE, {Relation.OUT_OF_DOMAIN}, {Relation.CROSS_TASK})
        )
        if near is None or far is None:
            return []
        recipe, *settings = re.split("[~@]", name)
        kind = (own[0].recipe.get("afterwards") or {}).get("kind")
        points.append(
            CurvePoint(
                name=name,
                recipe=recipe,
                settings={word: value for word, _, value in (item.partition("=") for item in settings)},
                starts_at_base=kind in ("interpolate", "lora-scale"),
                is_plain=not model and _is_plain(own[0]),
                seed_count=len(own),
                target=near,
                retained=far,
                out_of_domain=None if other_tasks is None else other_data,
            )
        )
    return points


def _keys(
    cards: Sequence[VariantCard], model: str, relations: Set[Relation], results: StudyResults, scores: Scores
) -> list[ScoreKey]:
    """Return the scores of the cards' cells of some relations; those of ``model`` where one is given."""
    return [
        ScoreKey(model or card.id, cell, task.primary_metric)
        for card in cards
        for task in results.tasks
        if results.relations.get((card.id, task.name)) in relations and enters_means(task, results)
        for cell in cells_of(scores, card.id, task)
    ]


def _mean(keys: Sequence[ScoreKey], scores: Scores) -> FloatArray | None:
    """Return the mean score ``(1 + resample_count,)``, over all items first; None over nothing."""
    if not keys:
        return None
    stacked = np.stack([np.concatenate([[scores[key].value], scores[key].replicates]) for key in keys])
    # Sums of equal scores in another order must stay equal.
    return np.asarray(stacked.mean(axis=0).round(12), dtype=np.float64)


def _is_plain(card: VariantCard) -> bool:
    demonstrations = card.recipe.get("demonstrations") or {}
    kinds = {(card.recipe.get(slot) or {}).get("kind") for slot in ("parameters", "constraint", "afterwards")}
    is_alone = card.mixture.get("arm", "alone") == "alone"
    return is_alone and not demonstrations.get("count") and kinds <= {None, "full", "none"}


def _frontier(trained_on: str, size: int, points: list[CurvePoint], level: float | None) -> Frontier:
    base, *variants = points
    targets = np.stack([point.target for point in points])
    member = on_front(targets, np.stack([point.retained for point in points]))
    domain = [point.out_of_domain for point in points if point.out_of_domain is not None]
    on_domain_front = on_front(targets, np.stack(domain))[:, 0] if domain else np.zeros(len(points), dtype=bool)
    recipes: dict[str, list[CurvePoint]] = {}
    for point in variants:
        recipes.setdefault(point.recipe, []).append(point)
    segments = {recipe: segments_of(own, base) for recipe, own in recipes.items()}
    return Frontier(
        trained_on=trained_on,
        size=size,
        points=tuple(
            _described(point, base, front, bool(domain_front), level)
            for point, front, domain_front in zip(points, member, on_domain_front, strict=True)
        ),
        segments=tuple((first.name, second.name) for pieces in segments.values() for first, second in pieces),
        matched=matched_comparisons(recipes, segments, level=level),
    )


def _described(
    point: CurvePoint, base: CurvePoint, front: NDArray[np.bool_], on_domain_front: bool, level: float | None
) -> FrontierPoint:
    own, others = point.out_of_domain, base.out_of_domain
    return FrontierPoint(
        name=point.name,
        recipe=point.recipe,
        seed_count=point.seed_count,
        target=estimate(point.target, level),
        retained=estimate(point.retained, level),
        harmonic=estimate(harmonic_mean(point.target, point.retained), level),
        arithmetic=estimate((point.target + point.retained) / 2, level),
        gain=estimate(differences(point.target, base.target), level),
        change=estimate(differences(point.retained, base.retained), level),
        is_on_front=bool(front[0]),
        front_share=float(front[1:].mean()),
        domain_change=None if own is None or others is None else estimate(differences(own, others), level),
        is_on_domain_front=on_domain_front,
    )
