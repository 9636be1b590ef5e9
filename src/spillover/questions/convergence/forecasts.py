"""What a study lets one predict before a fine-tune is paid for: scores over tasks, and forgetting over recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spillover.analysis.analysis import Analysis
from spillover.analysis.drift_pairs import drift_of
from spillover.analysis.wording import plain, signed
from spillover.questions.convergence.forecast import LEAST_FAMILIES, Forecast, forecast
from spillover.questions.convergence.reading import LEAST_TASKS, Answers
from spillover.questions.convergence.scores import Recipe
from spillover.records import RIGHT_ANSWERS, Relation, StudyResults, VariantCard
from spillover.statistics.seeds import recipes_of

SMALLEST = 1e-12
"""Of a drift whose logarithm is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """A forecast, of what and from what, in words."""

    of: str
    """The recipe, or what is forecast over all of them."""
    has_pilot: bool
    units: tuple[str, ...]
    """Tasks, or recipes and sizes, in the order of the forecast."""
    found: Forecast
    sentence: str


def task_forecasts(
    recipe: Recipe, raw: Recipe, pilot: Sequence[str], *, level: float, resample_count: int
) -> tuple[Told, ...]:
    """Return the forecast of a recipe's scores from the base alone and, where there is one, from a pilot as well.

    Args:
        recipe: Calibrated.
        raw: The same, on the same tasks, by raw log-likelihoods.
        pilot: Ids of the variants that are its pilot; empty for none.
        level: Coverage of intervals.
        resample_count: Resamples of families.
    """
    if len(set(recipe.families.tolist())) < 2:
        return ()
    entropy = np.array([pair.base[0].entropy for pair in raw.pairs])
    columns = [recipe.zero_shot, recipe.in_context, recipe.zero_shot - raw.zero_shot, entropy]
    designs = [(False, columns)]
    answers = [[pair.task.answers.get((own, 0, recipe.scoring)) for own in pilot] for pair in recipe.pairs]
    known: list[list[Answers]] = [[each for each in row if each] for row in answers]
    if pilot and all(len(row) == len(pilot) for row in known):
        scores = [np.mean([pair.score(own) for own in row]) for pair, row in zip(recipe.pairs, known, strict=True)]
        designs.append((True, [*columns, np.array(scores)]))
    told = []
    for has_pilot, chosen in designs:
        found = forecast(
            np.stack(chosen, axis=1), recipe.tuned, recipe.families, level=level, resample_count=resample_count
        )
        source = "the base's scores" + (" and a pilot" if has_pilot else "")
        sentence = f"From {source}, family by family left out, {_words(found, 'a task', 'tasks of the family', level)}"
        names = tuple(pair.task.name for pair in recipe.pairs)
        told.append(Told(recipe.name, has_pilot, names, found, sentence))
    return tuple(told)


def forgetting_forecast(results: StudyResults, analysis: Analysis, pilots: Mapping[str, str]) -> Told | None:
    """Return the forecast of what recipes and sizes lose across tasks, from the drift of their pilots and their size.

    A pilot is the same for all sizes of a recipe, which are left out together. None for fewer than `LEAST_TASKS`
    recipes and sizes whose pilot's drift is known.
    """
    drift = {card.id: moved for card in results.variants if (moved := drift_of(card))}
    lost = {
        item.variant: -item.mean_difference
        for item in analysis.relations
        if item.relation == Relation.CROSS_TASK and item.kind == RIGHT_ANSWERS
    }
    rows: list[tuple[str, str, float, list[float]]] = []
    for cards in recipes_of(results):
        own = [card for card in cards if card.id in lost and drift.get(pilots.get(card.id, ""))]
        if own:
            first = own[0]
            group = f"{first.name}/{first.trained_on}"
            moved = np.mean([_drift(drift[pilots[card.id]]) for card in own], axis=0)
            features = [float(np.log(first.size)), *moved.tolist()]
            rows.append((f"{group}/{first.size}", group, float(np.mean([lost[card.id] for card in own])), features))
    groups = np.unique([group for _, group, _, _ in rows], return_inverse=True)[1]
    if len(rows) < LEAST_TASKS or len(set(groups.tolist())) < 2:
        return None
    found = forecast(
        np.array([features for *_, features in rows]),
        np.array([value for _, _, value, _ in rows]),
        groups.astype(np.intp),
        level=analysis.level,
        resample_count=analysis.resample_count,
    )
    words = _words(found, "a recipe", "sizes of the recipe", analysis.level)
    sentence = f"From the pilots' drift and KL, recipe by recipe left out, {words}"
    return Told("forgetting", True, tuple(name for name, *_ in rows), found, sentence)


def _drift(moved: Mapping[str, object]) -> list[float]:
    """Return the logarithms of a pilot's mean |w - w0| and of its KL to the base on general text."""
    probe = moved["probe"]
    assert isinstance(probe, Mapping)
    values = (moved["mean_absolute_difference"], probe["kl_to_base"])
    return [float(np.log(max(SMALLEST, float(str(value))))) for value in values]


def _words(found: Forecast, unit: str, others: str, level: float) -> str:
    """Return how good a forecast is, as far as it is shown."""
    text = (
        f"{unit}'s prediction is off by {plain(found.error)} on average; the mean of the other {others} "
        f"by {plain(found.null_error)}. "
    )
    if found.low is None or found.high is None:
        return (
            f"{text}It is not shown to be better than that mean, and there is no interval for a new one: "
            f"{found.family_count} {'families' if unit == 'a task' else 'recipes'} are too few, {LEAST_FAMILIES} are "
            "needed."
        )
    gain = f"{signed(found.gain)} [{plain(found.low)}, {plain(found.high)}]"
    better = "better" if found.is_better else "not shown to be better" if found.gain > 0 else "not better"
    half = f"a new one lies within ±{plain(found.half_width or 0.0)} of its prediction in {level:.0%}"
    return f"{text}It is {better} than that mean ({gain}), and {half}."


def pilots_by_recipe(cards: Sequence[VariantCard], pilots: Mapping[str, str]) -> tuple[str, ...]:
    """Return the pilots of a recipe's seeds; empty unless each has one."""
    own = tuple(pilots[card.id] for card in cards if card.id in pilots)
    return own if len(own) == len(cards) else ()
