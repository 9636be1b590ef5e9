from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from spillover.questions import answered
from spillover.records import BASE, Cell, CellScores, Relation, StudyResults, VariantCard
from spillover.statistics.cells import resample_scores
from spillover.statistics.gaffke import gaffke
from spillover.statistics.seeds import RecipeSummary, recipe_summaries
from tests.analysis.made_scores import METRICS, task


def study_of(changes: np.ndarray, *, base: float = 0.5) -> StudyResults:
    """Build one task; ``changes`` are differences to the base, ``(training seeds, demonstration seeds, n)``."""
    seeds, shown, count = changes.shape
    cards = tuple(
        VariantCard(id=f"sft/home/8/{seed}", name="sft", trained_on="home", size=8, seed=seed, recipe={})
        for seed in range(seeds)
    )
    ids = tuple(f"item-{index:04}" for index in range(count))

    def scores(model: str, demonstration_seed: int, values: np.ndarray) -> CellScores:
        cell = Cell("home", 1, 2, demonstration_seed)
        return CellScores(model, cell, "accuracy", ids, np.column_stack([values, np.ones(count)]))

    rows = [scores(BASE, k, np.full(count, base)) for k in range(shown)]
    rows += [scores(card.id, k, base + changes[card.seed, k]) for card in cards for k in range(shown)]
    relations = {(card.id, "home"): Relation.IN_DOMAIN for card in cards}
    return StudyResults("seeds", {}, cards, (task("home"),), relations, METRICS, tuple(rows), (), (), {})


def summary_of(changes: np.ndarray, *, resample_count: int = 2000) -> RecipeSummary:
    results = study_of(changes)
    (row,) = recipe_summaries(results, resample_scores(results, resample_count=resample_count), level=0.95)
    return row


def test_seeds_that_disagree_far_beyond_the_items_get_the_t_interval_of_their_means() -> None:
    means = np.array([0.1, 0.3, 0.2])
    noise = np.random.default_rng(0).normal(0, 1e-4, (3, 1, 200))
    row = summary_of(means[:, None, None] + noise)
    half = stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    # A deviation of 2,000 resamples is known to 1.6 %.
    assert row.low == pytest.approx(0.2 - half, abs=0.06 * half)
    assert row.high == pytest.approx(0.2 + half, abs=0.06 * half)
    assert row.seed_deviation == pytest.approx(0.1, abs=1e-3)
    assert row.p_value == pytest.approx(stats.ttest_1samp(means, 0).pvalue, rel=0.06)
    # At 4 seeds t is 3.18 and the half-width 0.16, still below 0.2 - and at 3 it is 0.25.
    assert row.seeds_needed == 4
    assert (row.seeds, row.demonstration_seed_count, row.note) == ((0, 1, 2), 1, "")


def test_seeds_that_agree_leave_the_interval_of_the_items() -> None:
    items = np.random.default_rng(1).normal(0.05, 0.2, 100).clip(-0.5, 0.5)
    row = summary_of(np.stack([items, items, items])[:, None, :])
    low, high = gaffke(items, np.full(100, 0.01), lowest=-1.0, highest=1.0).interval(0.95)
    assert row.low == pytest.approx(low)
    assert row.high == pytest.approx(high)


def test_demonstration_seeds_widen_the_interval_like_training_seeds() -> None:
    means = np.array([0.1, 0.3, 0.2])
    noise = np.random.default_rng(0).normal(0, 1e-4, (1, 3, 200))
    row = summary_of(means[None, :, None] + noise)
    half = stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    assert row.low == pytest.approx(0.2 - half, abs=0.06 * half)
    assert (row.demonstration_seed_count, row.seed_deviation) == (3, None)
    assert row.note == "one training seed: the interval says nothing of others"


def test_a_recipe_with_one_seed_of_each_kind_has_no_row_over_seeds() -> None:
    results = study_of(np.zeros((1, 1, 20)))
    assert recipe_summaries(results, resample_scores(results, resample_count=20), level=0.95) == ()


def test_few_items_give_no_interval_and_items_that_never_differ_the_exact_one() -> None:
    few, same = summary_of(np.ones((2, 1, 9)) * 0.1), summary_of(np.zeros((2, 1, 50)))
    assert (few.low, few.p_value, few.note) == (
        None,
        None,
        "9 independent items are too few for an interval (10 needed)",
    )
    bound = 1 - 0.025 ** (1 / 50)
    assert (same.low, same.high) == (pytest.approx(-bound, rel=0.015), pytest.approx(bound, rel=0.015))
    assert (same.p_value, same.seed_deviation, same.note) == (1, 0, "")


def test_variants_of_another_size_are_another_recipe() -> None:
    results = study_of(np.random.default_rng(2).normal(0.1, 0.1, (3, 1, 40)))
    larger = replace(results.variants[2], size=16)
    rows = answered(replace(results, variants=(*results.variants[:2], larger)), resample_count=50).recipes
    assert [(row.size, row.seeds) for row in rows] == [(8, (0, 1))]
