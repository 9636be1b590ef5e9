"""Means over training and demonstration seeds of one recipe, with intervals that hold for other seeds and items."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.records import BASE, Relation, StudyResults, VariantCard
from spillover.statistics.cells import ScoreKey, Scores
from spillover.statistics.distributions import stdtrit
from spillover.statistics.inference import Scatter
from spillover.statistics.means import mean_difference, primary_cells, tasks_by_kind
from spillover.statistics.scatter import scatter_of_seeds, seeds_needed


@dataclass(frozen=True, slots=True)
class RecipeSummary:
    """The mean difference to the base of the variants that differ in nothing but their training seed."""

    name: str
    trained_on: str
    size: int
    relation: Relation
    kind: str
    """What the cells' primary metrics measure, see `MetricCard.kind`."""
    seeds: tuple[int, ...]
    demonstration_seed_count: int
    mean_difference: float
    low: float | None
    """Of the interval over items and seeds; None where no interval would be honest."""
    high: float | None
    p_value: float | None
    """Of no difference, two-sided; not adjusted."""
    seed_deviation: float | None
    """Standard deviation over training seeds of the mean difference; None for a single seed."""
    seeds_needed: int | None
    """How many training seeds would tell the difference from zero, were this one true; None where it is told, where
    items do not suffice, and for a single seed."""
    note: str


def recipes_of(results: StudyResults) -> list[list[VariantCard]]:
    """Return the variants of each recipe, which differ in nothing but their training seed, in the study's order."""
    recipes: dict[tuple[str, str, int], list[VariantCard]] = {}
    for card in results.variants:
        recipes.setdefault((card.name, card.trained_on, card.size), []).append(card)
    return list(recipes.values())


def recipe_summaries(results: StudyResults, scores: Scores, *, level: float) -> tuple[RecipeSummary, ...]:
    """Return one row per recipe, relation and kind for recipes with several training seeds, or demonstration seeds.

    Items, training seeds and each task's demonstration seeds are independent reasons why the mean is off. Items have
    Gaffke's ends, seeds Student's t with their own degrees of freedom, as for the mean of a random effect (Cochran
    1951); the squares of the distances add up.
    """
    rows: list[RecipeSummary] = []
    for cards in recipes_of(results):
        for (relation, kind), (metric, tasks) in tasks_by_kind(results, cards[0]).items():
            keys = [primary_cells(scores, card.id, tasks) for card in cards]
            shown = {key.cell.demonstration_seed for key in keys[0] if key.cell.shots}
            if not keys[0] or (len(cards) == 1 and len(shown) < 2):
                continue
            scatter = demonstration_scatter(keys, scores)
            mean = mean_difference(keys, scores, metric, level=level, margin=results.margin, scatter=scatter)
            found, needed = mean.found, None
            if mean.scatter and found.low is not None and found.high is not None and found.low <= 0 <= found.high:
                # The squares of what items and seeds are off by add up.
                half, of_seeds = (found.high - found.low) / 2, mean.scatter
                seed_part = float(stdtrit(of_seeds.freedom, (1 + level) / 2)) * of_seeds.error
                item_part = float(np.sqrt(max(0.0, half**2 - seed_part**2)))
                needed = seeds_needed(mean.difference, of_seeds.error * float(np.sqrt(len(cards))), item_part, level)
            rows.append(
                RecipeSummary(
                    cards[0].name,
                    cards[0].trained_on,
                    cards[0].size,
                    relation,
                    kind,
                    tuple(card.seed for card in cards),
                    len(shown),
                    mean.difference,
                    found.low,
                    found.high,
                    found.p_value,
                    float(np.std(mean.seed_values, ddof=1)) if len(cards) > 1 else None,
                    needed,
                    found.note or ("" if len(cards) > 1 else "one training seed: the interval says nothing of others"),
                )
            )
    return tuple(rows)


def demonstration_scatter(keys: Sequence[Sequence[ScoreKey]], scores: Scores) -> list[Scatter]:
    """Return how a mean over cells and variants varies with the demonstration seeds of each task that has several.

    Args:
        keys: For each variant its scores of the same cells.
        scores: Of the study.
    """
    cell_count = len(keys[0])
    by_task: dict[str, dict[int, list[ScoreKey]]] = {}
    for key in (key for own in keys for key in own):
        if key.cell.shots:
            by_task.setdefault(key.cell.tested_on, {}).setdefault(key.cell.demonstration_seed, []).append(key)
    found = []
    for by_seed in by_task.values():
        if len(by_seed) > 1:
            # A seed stands for all of them, so that the mean over seeds is the task's part in the mean over cells.
            weight = len(by_seed) / cell_count / len(keys)
            pairs = [[(scores[key], scores[key._replace(variant=BASE)]) for key in own] for own in by_seed.values()]
            values = np.array([sum(own.value - base.value for own, base in row) for row in pairs])
            noise = np.stack([np.sum([own.replicates - base.replicates for own, base in row], axis=0) for row in pairs])
            found.append(scatter_of_seeds(weight * values, weight * noise))
    return found
