"""Curves of recipes on the plane of target and retained score, and recipes compared at a matched target score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from spillover.records import FloatArray
from spillover.statistics.paired import differences
from spillover.statistics.resampled import percentiles_or_none


@dataclass(frozen=True, slots=True)
class Ranged:
    """A number and its interval over the resamples."""

    value: float
    low: float | None
    """Of the interval; None where none would be honest: too few independent items, or every resample is the same."""
    high: float | None


@dataclass(frozen=True, slots=True, eq=False)
class CurvePoint:
    """A recipe at one setting, with its scores ``(1 + resample_count,)``: over all items, then over each resample."""

    name: str
    recipe: str
    settings: Mapping[str, str]
    """What the points of the recipe differ in, as written in their names."""
    starts_at_base: bool
    """Whether the recipe's curve begins at the base: a weight interpolation at zero is the base itself."""
    is_plain: bool
    seed_count: int
    target: FloatArray
    retained: FloatArray
    out_of_domain: FloatArray | None = None
    """The part of what is retained that is the same kind of task on other data; None where none was tested."""


Segment = tuple[CurvePoint, CurvePoint]
"""Neighbouring points of one recipe."""


@dataclass(frozen=True, slots=True)
class MatchedScore:
    """What a recipe retains at a given target score."""

    recipe: str
    lowest_target: float
    highest_target: float
    """The target scores that its points span."""
    retained: Ranged | None
    """Interpolated between neighbouring points, never beyond them; None where they do not span the target score."""
    difference: Ranged | None
    """To the plain recipe at the same target score; None where either does not reach it."""
    reached_share: float
    """Share of the resamples in which the points span the target score; the intervals are over these."""


@dataclass(frozen=True, slots=True)
class MatchedComparison:
    """All recipes at one target score, which is found anew in every resample."""

    at: str
    """Whose target score, in words."""
    target: Ranged
    scores: tuple[MatchedScore, ...]


def estimate(values: FloatArray, level: float | None) -> Ranged:
    """Return the first of ``(1 + resample_count,)`` values with the others' percentiles, see `percentile_level`."""
    return Ranged(float(values[0]), *percentiles_or_none(values[1:], level))


def segments_of(points: Sequence[CurvePoint], base: CurvePoint) -> list[Segment]:
    """Return the pairs of points that differ in one number and have no other point of the recipe between them."""
    found: list[Segment] = []
    for word in dict.fromkeys(word for point in points for word in point.settings):
        lines: dict[tuple[tuple[str, str], ...], list[tuple[float, CurvePoint]]] = {}
        for point in points:
            value = _number(point.settings.get(word, ""))
            if value is not None:
                rest = tuple(item for item in point.settings.items() if item[0] != word)
                lines.setdefault(rest, []).append((value, point))
        for line in lines.values():
            if points[0].starts_at_base and word in ("alpha", "scale"):
                line.append((0.0, base))
            found += pairwise([point for _, point in sorted(line, key=lambda pair: pair[0])])
    return found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def retained_at(target: FloatArray, points: Sequence[CurvePoint], segments: Sequence[Segment]) -> FloatArray:
    """Return the retained score at each ``target``, linear along the segments; NaN where nothing spans it.

    Where several pieces of a recipe reach a target score the best one counts, as it would for who picks a setting.
    """
    best = np.full_like(target, np.nan)
    for first, second in [*((point, point) for point in points), *segments]:
        width = second.target - first.target
        share = np.divide(target - first.target, width, out=np.zeros_like(target), where=width != 0)
        lower, upper = np.minimum(first.target, second.target), np.maximum(first.target, second.target)
        value = first.retained + share * (second.retained - first.retained)
        best = np.fmax(best, np.where((lower <= target) & (target <= upper), value, np.nan))
    return best


def matched_comparisons(
    recipes: Mapping[str, Sequence[CurvePoint]], segments: Mapping[str, Sequence[Segment]], *, level: float | None
) -> tuple[MatchedComparison, ...]:
    """Compare recipes at the plain one's target score, and at the largest one that all recipes with a curve reach.

    Comparing at one setting compares amounts of learning (sheet spider, section 7). A comparison with fewer than two
    recipes, or with no curve at all, is absent.
    """
    all_plain = [point for points in recipes.values() for point in points if point.is_plain]
    plain = min(all_plain, key=lambda point: bool(point.settings), default=None)  # the first, rather one not swept
    curves = [recipe for recipe, pieces in segments.items() if pieces]
    wanted: list[tuple[str, FloatArray]] = []
    if plain and curves and len(recipes) > 1:
        wanted.append((f"the score of {plain.name}", plain.target))
    if len(curves) > 1:
        highest = [np.max([point.target for point in recipes[recipe]], axis=0) for recipe in curves]
        wanted.append(("the largest score that every recipe with a curve reaches", np.min(highest, axis=0)))
    comparisons = []
    for at, target in wanted:
        retained = {recipe: retained_at(target, points, segments[recipe]) for recipe, points in recipes.items()}
        reference = retained[plain.recipe] if plain else np.full_like(target, np.nan)
        rows = tuple(
            _matched_score(recipe, points, segments[recipe], retained[recipe], reference, level)
            for recipe, points in recipes.items()
        )
        comparisons.append(MatchedComparison(at, estimate(target, level), rows))
    return tuple(comparisons)


def _matched_score(
    recipe: str,
    points: Sequence[CurvePoint],
    segments: Sequence[Segment],
    retained: FloatArray,
    reference: FloatArray,
    level: float | None,
) -> MatchedScore:
    targets = [float(point.target[0]) for point in (*points, *(end for segment in segments for end in segment))]
    return MatchedScore(
        recipe=recipe,
        lowest_target=min(targets),
        highest_target=max(targets),
        retained=_estimate_where_reached(retained, level),
        difference=_estimate_where_reached(differences(retained, reference), level),
        reached_share=float(np.isfinite(retained[1:]).mean()),
    )


def _estimate_where_reached(values: FloatArray, level: float | None) -> Ranged | None:
    reached = values[np.isfinite(values)]
    if not np.isfinite(values[0]) or len(reached) < 2:
        return None
    return estimate(reached, level)
