"""Item by item: whether base and tuned model find the same items easy, err on the same, and what is new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.questions.convergence.reading import Booleans
from spillover.questions.convergence.scores import Recipe, TaskPair
from spillover.records import FloatArray
from spillover.statistics.distributions import ndtr
from spillover.statistics.paired import ROUNDING
from spillover.statistics.ranks import pearson, within


@dataclass(frozen=True, slots=True)
class GoldCorrelation:
    """Of the target's log share in base and tuned model, over items within task and target."""

    label: str
    unit_count: int
    """Items; those that share a source and a target are one."""
    correlation: float | None
    """None where nothing varies."""
    z: float | None
    """How many deviations it is from what items in any order within task and target give."""
    p_value: float | None
    """One-sided, of that order."""


@dataclass(frozen=True, slots=True)
class TaskItems:
    """One task's items: where base and tuned model err alike, and what only one of both gets right."""

    task: str
    kappa: float | None
    """Error consistency; None where one of both is always or never right."""
    new_share: float
    """Of items that the tuned model gets right and the base at no shot count."""
    lost_share: float
    """Of items that the base gets right at some shot count and the tuned model does not."""


@dataclass(frozen=True, slots=True)
class ItemLevel:
    """What items say of a recipe."""

    gold: tuple[GoldCorrelation, ...]
    tasks: tuple[TaskItems, ...]


def item_level(recipe: Recipe) -> ItemLevel:
    """Return what items say: with the base in context, and with the base at 0 shots as the null."""
    return ItemLevel(
        (
            gold_correlation("base in context", recipe.pairs, in_context=True),
            gold_correlation("base at 0 shots", recipe.pairs, in_context=False),
        ),
        tuple(_of_task(pair) for pair in recipe.pairs),
    )


def gold_correlation(label: str, pairs: Sequence[TaskPair], *, in_context: bool) -> GoldCorrelation:
    """Return the correlation of recentred gold scores, with its null in closed form.

    Under any order of the items of a stratum (task and target) the sum of products of two recentred scores has mean
    zero and variance ``sum over strata of Sxx * Syy / (n - 1)``, the moments of a permutation test (Pitman 1937).
    """
    parts = [_recentred(pair, in_context=in_context) for pair in pairs]
    base, tuned = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    if np.isnan(found := float(pearson(base, tuned))):
        return GoldCorrelation(label, len(base), None, None, None)
    variance = 0.0
    for own_base, own_tuned, strata in parts:
        sums = [np.bincount(strata, weights=values**2) for values in (own_base, own_tuned)]
        variance += float((sums[0] * sums[1] / (np.bincount(strata) - 1).clip(min=1)).sum())
    if variance < ROUNDING:
        return GoldCorrelation(label, len(base), found, None, None)
    z = float(base @ tuned) / variance**0.5
    return GoldCorrelation(label, len(base), found, z, float(ndtr(-z)))


def _recentred(pair: TaskPair, *, in_context: bool) -> tuple[FloatArray, FloatArray, np.ndarray]:
    """Return gold scores of base and tuned model less the mean of their target, one a source, and their targets."""
    base = pair.base[pair.most_shots if in_context else 0]
    keys = np.stack([pair.task.classes, pair.units], axis=1)
    unique, places = np.unique(keys, axis=0, return_inverse=True)
    places, strata = places.ravel(), unique[:, 0]
    counts = np.bincount(places)
    means = [np.bincount(places, weights=answers.gold.mean(axis=0)) / counts for answers in (base, pair.tuned)]
    return within(means[0], strata), within(means[1], strata), strata


def error_consistency(one: Booleans, other: Booleans) -> float | None:
    """Return how far two models are right and wrong together beyond what their accuracies alone give.

    ``(observed - expected) / (1 - expected)`` of the share of items on which both are right or both are wrong (Geirhos
    et al. 2020, "Beyond accuracy: quantifying trial-by-trial behaviour", equation 2, which is Cohen's kappa). None
    for undefined, where one is always or never right: it then errs on all items or none, whatever the other does.
    """
    p, q = float(one.mean()), float(other.mean())
    if p in (0.0, 1.0) or q in (0.0, 1.0):
        return None
    expected = p * q + (1 - p) * (1 - q)
    return (float((one == other).mean()) - expected) / (1 - expected)


def _of_task(pair: TaskPair) -> TaskItems:
    base, tuned = pair.base[pair.most_shots].right, pair.tuned.right
    kappas = [kappa for one in base for other in tuned if (kappa := error_consistency(one, other)) is not None]
    at_all = np.concatenate([answers.right for answers in pair.base.values()]).any(axis=0)
    return TaskItems(
        pair.task.name,
        float(np.mean(kappas)) if kappas else None,
        float((tuned & ~at_all).mean()),
        float((~tuned & at_all).mean()),
    )
