"""Whether intervals over three training seeds hold for other seeds: a recipe's mean, a difference, a synergy.

`make test-long` prints (`-s`) the coverage of each beside that of an interval over items alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from spillover.records import BASE, Cell, FloatArray
from spillover.statistics.cells import ResampledScore, ScoreKey
from spillover.statistics.contrasts import estimate, minus
from spillover.statistics.means import mean_difference
from spillover.statistics.paired import resample_counts
from tests.analysis.simulated import ACCURACY, allowance

SEEDS, RECIPES = (0, 1, 2), ("one", "other", "third", "fourth")
CELL = Cell("home", 1, 0, 0)
RESAMPLE_COUNT = 200
"""Only their variance counts, which 200 tell to 10 %."""

Rates = Callable[[np.random.Generator, int], tuple[FloatArray, FloatArray]]
"""How many models, to what share of items each gains and loses ``(models,)``."""


def no_effect(deviation: float) -> Rates:
    """Return as many gained as lost on average; between seeds the difference deviates by so much."""

    def draw(generator: np.random.Generator, models: int) -> tuple[FloatArray, FloatArray]:
        luck = generator.normal(0, deviation, models).clip(-0.2, 0.2)
        return 0.1 + luck / 2, 0.1 - luck / 2

    return draw


def rare_losses(generator: np.random.Generator, models: int) -> tuple[FloatArray, FloatArray]:
    """Return losses of 3 % of the items on average, of 0 to 10 % from seed to seed; nothing is gained."""
    return np.zeros(models), generator.beta(2, 64.67, models)


DESIGNS: dict[str, tuple[Rates, float]] = {
    "seeds deviate by .02, no effect": (no_effect(0.02), 0.0),
    "seeds deviate by .04, no effect": (no_effect(0.04), 0.0),
    "losses of 3 %, more or less by seed": (rare_losses, -0.03),
}


def world(rates: Rates, item_count: int, generator: np.random.Generator) -> FloatArray:
    """Return right or wrong answers: the base's, then those of every recipe and seed, ``(1 + 12, n)``."""
    base = (generator.random(item_count) < 0.5).astype(float)
    gained, lost = rates(generator, len(RECIPES) * len(SEEDS))
    # Of items that the base has right none can be gained: twice the share of those that can.
    chance = generator.random((len(gained), item_count))
    changes = np.where(base, -1.0 * (chance < 2 * lost[:, None]), chance < 2 * gained[:, None])
    return np.vstack([base, base + changes])


def scores_of(answers: FloatArray, counts: FloatArray) -> dict[ScoreKey, ResampledScore]:
    item_count, ids = answers.shape[1], tuple(map(str, range(answers.shape[1])))
    replicates, units = answers @ counts.T / item_count, np.arange(item_count)
    models = [(BASE, None), *((f"{name}/home/8/{seed}", seed) for name in RECIPES for seed in SEEDS)]
    return {
        ScoreKey(model, CELL, "accuracy"): ResampledScore(
            float(own.mean()), row, ids, np.column_stack([own, np.ones(item_count)]), units, "share", seed
        )
        for (model, seed), own, row in zip(models, answers, replicates, strict=True)
    }


def key(recipe: str, seed: int) -> ScoreKey:
    return ScoreKey(f"{recipe}/home/8/{seed}", CELL, "accuracy")


Ends = tuple[float | None, float | None]


def intervals(scores: Mapping[ScoreKey, ResampledScore]) -> dict[str, Ends]:
    """Return the intervals of a recipe's mean, of a difference and of a synergy."""
    mean = mean_difference([[key("one", seed)] for seed in SEEDS], scores, ACCURACY, level=0.95, margin=0.02).found
    pairs = {seed: [[key(recipe, seed)] for recipe in RECIPES] for seed in SEEDS}
    difference = estimate([minus(own[0], own[1]) for own in pairs.values()], scores, level=0.95)
    synergy = estimate([(*minus(own[0], own[1]), *minus(own[3], own[2])) for own in pairs.values()], scores, level=0.95)
    return {name: (found.low, found.high) for name, found in zip(KINDS, (mean, difference, synergy), strict=True)}


KINDS = ("a recipe's mean", "a difference", "a synergy")


def of_items_alone(scores: Mapping[ScoreKey, ResampledScore]) -> dict[str, Ends]:
    """Return the t intervals over items of the same means over seeds, for these three seeds and no other."""
    means = [np.mean([scores[key(recipe, seed)].statistics[:, 0] for seed in SEEDS], axis=0) for recipe in RECIPES]
    base = scores[ScoreKey(BASE, CELL, "accuracy")].statistics[:, 0]
    sums = (means[0] - base, means[0] - means[1], means[0] - means[1] - means[2] + means[3])
    halves = [stats.t.ppf(0.975, len(own) - 1) * own.std(ddof=1) / np.sqrt(len(own)) for own in sums]
    return {
        name: (float(own.mean() - half), float(own.mean() + half))
        for name, own, half in zip(KINDS, sums, halves, strict=True)
    }


def coverage(name: str, item_count: int, worlds: int) -> dict[str, tuple[float, float, float]]:
    """Return of each kind the coverage over seeds, that over items alone, and the ratio of mean widths.

    Worlds in which seeds disagree so much that there is no interval are left out, and are few.
    """
    (rates, truth), generator = DESIGNS[name], np.random.default_rng(11)
    counts = [resample_counts(item_count, seed=turn, resample_count=RESAMPLE_COUNT) for turn in range(7)]
    truths = dict.fromkeys(KINDS, 0.0) | {KINDS[0]: truth}
    held: dict[str, list[tuple[bool, bool, float, float]]] = {kind: [] for kind in KINDS}
    for turn in range(worlds):
        drawn = counts[turn % 7]
        scores = scores_of(world(rates, item_count, generator), drawn)
        ours, alone = intervals(scores), of_items_alone(scores)
        for kind in KINDS:
            (low, high), (left, right), at = ours[kind], alone[kind], truths[kind]
            assert left is not None
            assert right is not None
            if low is not None and high is not None:
                held[kind].append((low <= at <= high, left <= at <= right, high - low, right - left))
    assert min(map(len, held.values())) >= 0.98 * worlds
    return {
        kind: (float(means[0]), float(means[1]), float(means[2] / means[3]))
        for kind, rows in held.items()
        for means in [np.mean(rows, axis=0)]
    }


@pytest.mark.parametrize("name", list(DESIGNS)[1:])
def test_intervals_over_three_seeds_hold_for_other_seeds(name: str) -> None:
    worlds = 100
    for seeds, items, _ in coverage(name, 100, worlds).values():
        assert seeds >= 0.93 - allowance(0.93, worlds)
        assert seeds >= items


@pytest.mark.long
@pytest.mark.parametrize("item_count", [100, 250, 500])
@pytest.mark.parametrize("name", DESIGNS)
def test_intervals_over_three_seeds_hold_for_other_seeds_in_many_worlds(name: str, item_count: int) -> None:
    worlds = 1000
    found = coverage(name, item_count, worlds)
    for kind, (seeds, items, ratio) in found.items():
        print(
            f"\n{name:38} {item_count:4} items {kind:16} covered {seeds:.3f} | {items:.3f} over items alone, "
            f"{ratio:.2f} times as wide (standard error {np.sqrt(0.95 * 0.05 / worlds):.3f})",
            end="",
        )
    for seeds, _, _ in found.values():
        assert seeds >= 0.93 - allowance(0.93, worlds)


def test_the_interval_over_one_seed_says_nothing_of_others() -> None:
    generator = np.random.default_rng(3)
    counts = resample_counts(100, seed=0, resample_count=RESAMPLE_COUNT)
    scores = scores_of(world(no_effect(0.2), 100, generator), counts)
    one = estimate([minus([key("one", 0)], [key("other", 0)])], scores, level=0.95)
    same_seed = {at: replace(own, seed=None if at.variant == BASE else 0) for at, own in scores.items()}
    three, as_one = (
        estimate([minus([key("one", seed)], [key("other", seed)]) for seed in SEEDS], of, level=0.95)
        for of in (scores, same_seed)
    )
    assert (one.seed_count, three.seed_count, as_one.seed_count) == (1, 3, 1)
    assert three.high - three.low > as_one.high - as_one.low
