"""Everything that is found of a study's recipes: over tasks and items, under both scorings, and the forecasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spillover.analysis.analysis import Analysis
from spillover.questions.convergence.beyond import Excess, excesses
from spillover.questions.convergence.correlations import IN_CONTEXT, ZERO_SHOT, Correlation, correlations, reason
from spillover.questions.convergence.forecasts import Told, forgetting_forecast, pilots_by_recipe, task_forecasts
from spillover.questions.convergence.items import ItemLevel, item_level
from spillover.questions.convergence.reading import LEAST_TASKS, SCORINGS, ChoiceTask
from spillover.questions.convergence.scores import Recipe, recipe_on
from spillover.questions.convergence.verdict import TaskVerdict, verdict
from spillover.records import BASE, FloatArray, StudyResults, TaskCard, VariantCard
from spillover.statistics.cells import Scores, cells_of
from spillover.statistics.ranks import LEAST_COUNT, spearman
from spillover.statistics.seeds import recipes_of


@dataclass(frozen=True, slots=True)
class Collected:
    """What is read of a finished study beyond its scores."""

    tasks: tuple[ChoiceTask, ...]
    trained_families: Mapping[str, frozenset[str]]
    """Variant to the families of whatever it was trained on; those of which nobody knows are absent."""
    pilots: Mapping[str, str]
    """Variant to its pilot."""


@dataclass(frozen=True, slots=True, eq=False)
class RecipeFinding:
    """What one recipe comes to under one scoring."""

    recipe: Recipe
    correlations: tuple[Correlation, ...]
    verdict: TaskVerdict
    items: ItemLevel
    excesses: tuple[Excess, ...]
    residuals: FloatArray
    """``(tasks,)``: tuned scores less the straight line of them over the base's in-context scores."""
    texts: tuple[Correlation, ...]
    """Of tasks whose answers are texts, each metric by itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Convergence:
    """What is found of all recipes."""

    recipes: tuple[RecipeFinding, ...]
    """Recipe by recipe, calibrated and raw."""
    forecasts: tuple[Told, ...]
    forgetting: Told | None

    def by(self, scoring: str) -> tuple[RecipeFinding, ...]:
        """Return what one scoring gives."""
        return tuple(found for found in self.recipes if found.recipe.scoring == scoring)


def convergence(results: StudyResults, analysis: Analysis, collected: Collected) -> Convergence | None:
    """Return what is found; None where no recipe answered `LEAST_TASKS` choice tasks."""
    found: list[RecipeFinding] = []
    forecasts: list[Told] = []
    own_pilots = set(collected.pilots.values())
    for cards in recipes_of(results):
        if cards[0].is_classifier or cards[0].id in own_pilots:
            continue
        recipes = [_recipe(results, collected, cards, scoring) for scoring in SCORINGS]
        if len(recipes[0].pairs) < LEAST_TASKS:
            continue
        found += [_found(recipe, cards, results, analysis) for recipe in recipes]
        forecasts += task_forecasts(
            recipes[0],
            recipes[1],
            pilots_by_recipe(cards, collected.pilots),
            level=analysis.level,
            resample_count=analysis.resample_count,
        )
    if not found:
        return None
    return Convergence(tuple(found), tuple(forecasts), forgetting_forecast(results, analysis, collected.pilots))


def _recipe(results: StudyResults, collected: Collected, cards: Sequence[VariantCard], scoring: str) -> Recipe:
    first = cards[0]
    name = f"{first.name}/{first.trained_on}/{first.size}"
    seen = collected.trained_families.get(first.id)
    return recipe_on(name, [card.id for card in cards], scoring, collected.tasks, results, seen=seen)


def _found(recipe: Recipe, cards: Sequence[VariantCard], results: StudyResults, analysis: Analysis) -> RecipeFinding:
    rows = correlations(
        recipe, _classifiers(recipe, results), level=analysis.level, resample_count=analysis.resample_count
    )
    return RecipeFinding(
        recipe,
        rows,
        verdict(recipe, rows),
        item_level(recipe),
        excesses(recipe, level=analysis.level),
        residuals(recipe.in_context, recipe.tuned),
        text_correlations(results, analysis.scores, [card.id for card in cards]),
    )


def residuals(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return what the straight line of least squares leaves of ``other``, ``(n,)``."""
    apart = one - one.mean()
    spread = float(apart @ apart)
    slope = float(apart @ other) / spread if spread > 0 else 0.0
    return np.asarray(other - other.mean() - slope * apart, dtype=np.float64)


def _classifiers(recipe: Recipe, results: StudyResults) -> Mapping[str, Mapping[str, float]]:
    """Return the score of each task by the supervised variant that was trained on it, by name and size."""
    found: dict[str, dict[str, float]] = {}
    for card in results.variants:
        for pair in recipe.pairs:
            answers = pair.task.answers.get((card.id, 0, "raw"))
            if card.is_classifier and card.trained_on == pair.task.name and answers:
                found.setdefault(f"{card.name}/{card.size}", {})[pair.task.name] = pair.score(answers)
    return found


def text_correlations(results: StudyResults, scores: Scores, variants: Sequence[str]) -> tuple[Correlation, ...]:
    """Return the rank correlations over tasks whose answers are texts, of each metric by itself.

    Scores in different metrics are never ranked together. Metrics of fewer than `LEAST_COUNT` tasks are left out.
    """
    by_metric: dict[str, list[tuple[TaskCard, float, float, float]]] = {}
    for task in results.tasks:
        if task.chance_accuracy is None:
            shots = {cell.shots for cell in cells_of(scores, BASE, task)}
            has_all = all(any(not cell.shots for cell in cells_of(scores, own, task)) for own in variants)
            if 0 in shots and len(shots) > 1 and has_all:
                in_context, zero_shot = (_mean(scores, [BASE], task, count) for count in (max(shots), 0))
                row = (task, in_context, zero_shot, _mean(scores, variants, task, 0))
                by_metric.setdefault(task.primary_metric, []).append(row)
    found = []
    for metric, rows in by_metric.items():
        families = len({task.family for task, *_ in rows})
        columns = np.array([row[1:] for row in rows])
        tuned = columns[:, 2]
        for label, values in ((IN_CONTEXT, columns[:, 0]), (ZERO_SHOT, columns[:, 1])):
            if len(rows) >= LEAST_COUNT:
                note = reason(label, values, tuned)
                value = None if note else float(spearman(values, tuned))
                found.append(Correlation(f"{label}, {metric} of texts", len(rows), families, value, note=note))
    return tuple(found)


def _mean(scores: Scores, variants: Sequence[str], task: TaskCard, shots: int) -> float:
    """Return the mean primary score over a model's cells of a task at one shot count."""
    values = [
        score.value
        for key, score in scores.items()
        if key.variant in variants
        and key.cell.tested_on == task.name
        and key.metric == task.primary_metric
        and key.cell.shots == shots
    ]
    return float(np.mean(values))
