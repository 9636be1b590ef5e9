"""What correlations over tasks allow to say, and how many tasks it would take to say more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spillover.analysis.wording import plain
from spillover.questions.convergence.correlations import IN_CONTEXT, PARTIAL, WITHIN, Correlation
from spillover.questions.convergence.scores import Recipe
from spillover.statistics.distributions import ndtri
from spillover.statistics.power import ALPHA, POWER
from spillover.statistics.ranks import within
from spillover.statistics.resampled import MINIMUM_UNIT_COUNT

LEAST_VERDICT_TASKS = 25
LEAST_ITEMS = 100
"""With 11 tasks of 50 items a true correlation of .85 shows as anything between -.02 and .89, with 25 of 100 as .34 to
.84 (sheet inherent-limits, section 11)."""

TRUE_CORRELATION = 0.5
"""Within families; what the number of tasks needed is for."""
USUAL_DEVIATION = 0.2
"""Of true scores within a family, where this study's tasks do not tell."""

Kind = Literal["too few tasks", "not told", "not beyond the family", "not beyond 0 shots", "beyond both"]


@dataclass(frozen=True, slots=True)
class Needed:
    """How many tasks would tell a true correlation within families from none."""

    task_count: int
    item_count: int
    shown: float
    """What a true `TRUE_CORRELATION` shows as, with the noise of so many items."""
    deviation: float
    """Of true scores within a family."""


@dataclass(frozen=True, slots=True)
class TaskVerdict:
    """Whether it was to be seen in the base's in-context scores which tasks a recipe does well on."""

    kind: Kind
    sentence: str
    needed: Needed


def verdict(recipe: Recipe, found: Sequence[Correlation]) -> TaskVerdict:
    """Return the sentence that the correlations allow."""
    by_label = {row.label: row for row in found}
    whole, inside, rest = (by_label[label] for label in (IN_CONTEXT, WITHIN, PARTIAL))
    needed = needed_of(recipe)
    large = sum(len(pair.task.example_ids) >= LEAST_ITEMS for pair in recipe.pairs)
    would = (
        f"Were the true correlation within families {TRUE_CORRELATION}, it would show as {plain(needed.shown)} "
        f"and take about {needed.task_count} tasks of {needed.item_count} items to be told from none in four of five "
        "studies."
    )
    if large < LEAST_VERDICT_TASKS:
        sentence = (
            f"No verdict: {large} choice task{'s have' if large != 1 else ' has'} {LEAST_ITEMS} items or more, and "
            f"below {LEAST_VERDICT_TASKS} such tasks a correlation over tasks says little. {would}"
        )
        return TaskVerdict("too few tasks", sentence, needed)
    if whole.spearman is None or inside.spearman is None or inside.p_value is None:
        return TaskVerdict("not told", f"No verdict: {whole.note or inside.note}.", needed)
    over = f"over all {whole.task_count} tasks the rank correlation is {plain(whole.spearman)}"
    inner = f"within families it is {plain(inside.spearman)} (p = {inside.p_value:.3f})"
    if inside.p_value >= ALPHA / 2:  # one-sided, so that chance alone says so once in forty
        sentence = (
            f"Not shown to go beyond the family: {over}, but {inner}, which the order of tasks within families gives "
            f"by chance. That says no more than which families are easy. {would}"
        )
        return TaskVerdict("not beyond the family", sentence, needed)
    low, high = rest.over_families
    if rest.spearman == 1:  # every resample says the same, so that there is no interval
        low, high = 1.0, 1.0
    if rest.spearman is None or low is None or high is None or low <= 0:
        left = rest.note if rest.spearman is None else f"{plain(rest.spearman)} is left, {_doubt(rest)}"
        sentence = (
            f"Beyond the family, but demonstrations are not shown to add to it: {over}, {inner}, and given the base's "
            f"scores at 0 shots {left}."
        )
        return TaskVerdict("not beyond 0 shots", sentence, needed)
    sentence = (
        f"Which tasks the tuned model does well on was to be seen in the base's in-context scores: {over}, {inner}, "
        f"and given the base's scores at 0 shots {plain(rest.spearman)} is left ([{plain(low)}, {plain(high)}] for "
        "other families). "
        "A correlation is no ceiling: what exceeds the base stands below."
    )
    return TaskVerdict("beyond both", sentence, needed)


def _doubt(rest: Correlation) -> str:
    """Return why a partial correlation may be nothing."""
    if rest.over_families[0] is None:
        return f"which {rest.family_count} families do not tell from none: {MINIMUM_UNIT_COUNT} are needed"
    return "which may be nothing"


def needed_of(recipe: Recipe) -> Needed:
    """Return how many tasks of this study's kind it would take.

    Of true scores whose deviation within families, and of items whose noise, are those of this study.
    """
    families = recipe.families
    counts = np.bincount(families)
    several = counts[counts > 1]
    item_count = max(LEAST_ITEMS, int(np.median([len(pair.task.example_ids) for pair in recipe.pairs])))
    noises, variances = [], []
    inside = counts[families] > 1
    for values, answers in (
        (recipe.in_context, [pair.base[pair.most_shots] for pair in recipe.pairs]),
        (recipe.tuned, [pair.tuned for pair in recipe.pairs]),
    ):
        noise = np.array([float(pair.noise([own])[0, 0]) for pair, own in zip(recipe.pairs, answers, strict=True)])
        per_item = noise * [len(pair.task.example_ids) for pair in recipe.pairs]
        noises.append(float(per_item.mean()))
        if len(several):
            apart = within(values, families)[inside]
            freedom = len(apart) - len(several)
            variances.append(float((apart**2).sum() / freedom - noise[inside].mean()))
    true = [value for value in variances if value > 0]
    deviation = float(np.sqrt(np.mean(true))) if true else USUAL_DEVIATION
    per_family = float(several.mean()) if len(several) else 2.0
    return tasks_needed(deviation, float(np.mean(noises)) / item_count, item_count=item_count, per_family=per_family)


def tasks_needed(deviation: float, noise: float, *, item_count: int, per_family: float) -> Needed:
    """Return how many tasks tell a true `TRUE_CORRELATION` within families from none with `POWER`.

    True scores of base and tuned model vary within a family with ``deviation``; what is observed adds the noise of
    items. Fisher's z of a correlation within families has the variance ``1 / (tasks - families - 2)`` (Fisher 1921).

    Args:
        deviation: Of true chance-normalised scores within a family.
        noise: Variance of an observed score over items.
        item_count: Of each task.
        per_family: Tasks of each family, more than one.
    """
    shown = TRUE_CORRELATION * deviation**2 / (deviation**2 + noise)
    freedom = ((float(ndtri(1 - ALPHA / 2)) + float(ndtri(POWER))) / math.atanh(shown)) ** 2 + 2
    count = math.ceil(freedom * per_family / (per_family - 1))
    return Needed(max(LEAST_VERDICT_TASKS, count), item_count, shown, deviation)
