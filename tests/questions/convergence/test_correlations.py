import numpy as np
import pytest
from scipy import stats

from spillover.questions.convergence.correlations import (
    FAMILY,
    IN_CONTEXT,
    PARTIAL,
    SEEN,
    UNSEEN,
    WITHIN,
    ZERO_SHOT,
    correlations,
    family_means,
    without_noise,
)
from spillover.questions.convergence.verdict import LEAST_VERDICT_TASKS, tasks_needed, verdict
from spillover.records import BASE
from spillover.statistics.paired import resample_counts
from spillover.statistics.ranks import pearson, shuffled_within, spearman, within
from spillover.statistics.resampled import resampled_interval
from tests.questions.convergence.made_tasks import TUNED, family_and_noise, recipe_of, task_of_scores


def of_scores(zero, shots, tuned, families=None, **options):
    names = families or [f"family {place}" for place in range(len(zero))]
    return recipe_of(
        [
            task_of_scores(f"task {place}", names[place], {(BASE, 0): a, (BASE, 4): b, (TUNED, 0): c}, items=1000)
            for place, (a, b, c) in enumerate(zip(zero, shots, tuned, strict=True))
        ],
        **options,
    )


def rows(recipe, classifiers=None, resample_count=200):
    found = correlations(recipe, classifiers or {}, level=0.95, resample_count=resample_count)
    return {row.label: row for row in found}


def test_a_tuned_model_that_is_the_base_correlates_perfectly():
    scores = np.linspace(0.1, 0.8, 12)
    row = rows(of_scores(scores[::-1], scores, scores))[IN_CONTEXT]
    assert (row.spearman, row.pearson, row.without_noise) == pytest.approx((1, 1, 1))
    assert row.over_families == pytest.approx((None, None))  # every resample says the same: no interval


def test_monotone_maps_leave_the_rank_correlation_as_it_is():
    generator = np.random.default_rng(2)
    shots, tuned = generator.uniform(0.1, 0.9, size=(2, 12)).round(2)
    found = rows(of_scores(shots, shots, tuned))[IN_CONTEXT]
    mapped = rows(of_scores(shots, shots**2, np.sqrt(tuned)))[IN_CONTEXT]
    assert found.spearman == pytest.approx(stats.spearmanr(shots, tuned).statistic)
    assert mapped.spearman == pytest.approx(found.spearman)
    assert mapped.pearson != pytest.approx(found.pearson, abs=1e-3)


def test_partial_correlation_on_four_points_by_hand():
    # Ranks 1 2 3 4, 2 1 4 3 and 1 3 2 4, whose pairs correlate .6, .8 and 0.
    found = rows(of_scores([0.1, 0.3, 0.2, 0.4], [0.1, 0.2, 0.3, 0.4], [0.2, 0.1, 0.4, 0.3]))[PARTIAL]
    assert found.spearman == pytest.approx(0.6 / 0.36**0.5)


def test_what_is_constant_says_why_there_is_no_correlation():
    varied = np.linspace(0.1, 0.8, 9)
    found = rows(of_scores(varied, np.full(9, 0.4), varied))
    assert found[IN_CONTEXT].spearman is None
    assert found[IN_CONTEXT].note == (
        "base in context: the same score on every task, so that there is nothing to correlate"
    )
    assert "the tuned model: the same score" in rows(of_scores(varied, varied, np.full(9, 0.4)))[ZERO_SHOT].note
    assert "the same order at 0 shots" in rows(of_scores(varied, varied, varied[::-1] ** 2))[PARTIAL].note


def test_families_seen_and_others_are_apart_and_classifiers_stand_beside():
    names = ["a", "a", "a", "a", "b", "b", "b", "b"]
    shots = np.array([0.1, 0.2, 0.3, 0.4, 0.1, 0.2, 0.3, 0.4])
    tuned = np.array([0.1, 0.2, 0.3, 0.4, 0.8, 0.7, 0.6, 0.5])
    recipe = of_scores(shots, shots, tuned, names, seen=frozenset({"a"}))
    found = rows(recipe, {"small/100": {f"task {place}": float(tuned[place]) for place in range(1, 7)}})
    assert (found[SEEN].spearman, found[UNSEEN].spearman) == pytest.approx((1, -1))
    assert (found["classifier small/100"].spearman, found["classifier small/100"].task_count) == (1, 6)
    # Within: the ranks 1 2 3 4 and 8 7 6 5 of tuned scores go up and down alike.
    assert found[WITHIN].spearman == pytest.approx(0, abs=1e-9)
    assert found[FAMILY].spearman == pytest.approx(stats.spearmanr(family_means(tuned, recipe.families), tuned)[0])


def test_the_mean_of_a_family_leaves_the_task_out():
    means = family_means(np.array([1.0, 2, 6, 5]), np.array([0, 0, 0, 1]))
    assert means[:3] == pytest.approx([4, 3.5, 1.5])
    assert np.isnan(means[3])


def test_the_noise_of_items_is_taken_off():
    generator = np.random.default_rng(0)
    true = generator.normal(size=(2, 4000))
    true[1] = 0.8 * true[0] + 0.6 * true[1]
    shared, noise = generator.normal(size=4000), np.array([[1.0, 0.5], [0.5, 1.0]])
    seen = true + 0.5**0.5 * shared + 0.5**0.5 * generator.normal(size=(2, 4000))
    assert pearson(*seen) == pytest.approx((0.8 + 0.5) / 2, abs=0.03)
    assert without_noise(*seen, np.repeat(noise[None], 4000, axis=0)) == pytest.approx(0.8, abs=0.04)
    assert without_noise(*seen, np.repeat(3 * noise[None], 4000, axis=0)) is None


def not_beyond(seeds):
    kinds = []
    for seed in seeds:
        recipe = recipe_of(family_and_noise(seed))
        kinds.append(verdict(recipe, list(rows(recipe, resample_count=400).values())).kind)
    return np.mean([kind == "not beyond the family" for kind in kinds])


def test_scores_of_family_and_noise_are_said_to_be_not_beyond_the_family():
    assert not_beyond(range(40)) >= 0.9


@pytest.mark.long
def test_scores_of_family_and_noise_are_said_to_be_not_beyond_the_family_in_95_of_100_studies():
    assert not_beyond(range(1000)) >= 0.95


def test_what_holds_within_families_and_beyond_0_shots_is_said():
    generator = np.random.default_rng(5)
    shots = generator.uniform(0.1, 0.8, size=30)
    names = [f"family {place // 3}" for place in range(30)]
    recipe = of_scores(generator.uniform(0.1, 0.8, size=30), shots, shots + 0.05 * generator.normal(size=30), names)
    found = verdict(recipe, list(rows(recipe).values()))
    assert found.kind == "beyond both"
    assert "A correlation is no ceiling" in found.sentence


def test_few_families_do_not_show_that_demonstrations_add_something():
    generator = np.random.default_rng(5)
    zero, shots = generator.uniform(0.1, 0.8, size=(2, 27))
    names = [f"family {place // 3}" for place in range(27)]
    found = verdict(recipe := of_scores(zero, shots, shots**1.5, names), list(rows(recipe).values()))
    assert found.kind == "not beyond 0 shots"
    assert found.sentence.endswith("is left, which 9 families do not tell from none: 10 are needed.")


def test_intervals_over_families_hold_for_other_families():
    generator, families, inside = np.random.default_rng(0), np.repeat(np.arange(10), 3), []
    for study in range(100):
        shared, own = generator.normal(size=(2, 10))[:, families], generator.normal(size=(2, 30))
        one, other = 0.7**0.5 * shared + 0.3**0.5 * own
        other = 0.5 * one + 0.75**0.5 * other
        weights = resample_counts(10, seed=study, resample_count=300)[:, families]
        low, high = resampled_interval(spearman(one, other, weights), 10, 0.95)
        inside.append(low <= 6 / np.pi * np.arcsin(0.5 / 2) <= high)  # Spearman's of a normal pair, Pearson 1907
    assert np.mean(inside) >= 0.92


def test_demonstrations_that_add_nothing_to_0_shots_are_seldom_said_to():
    generator, kinds = np.random.default_rng(6), []
    for _ in range(20):
        zero = generator.uniform(0.1, 0.8, size=30)
        shots, tuned = zero + 0.08 * generator.normal(size=(2, 30))
        recipe = of_scores(zero, shots, tuned, [f"family {place // 3}" for place in range(30)])
        kinds.append(verdict(recipe, list(rows(recipe).values())).kind)
    assert set(kinds) <= {"not beyond 0 shots", "beyond both"}
    assert kinds.count("beyond both") <= 2


def test_below_25_tasks_of_100_items_there_is_no_verdict_and_it_says_how_many_it_takes():
    recipe = recipe_of(family_and_noise(0, families=8))
    found = verdict(recipe, list(rows(recipe).values()))
    assert found.kind == "too few tasks"
    assert found.sentence.startswith("No verdict: 24 choice tasks have 100 items or more, and below 25")
    assert f"about {found.needed.task_count} tasks of 100 items" in found.sentence
    few = recipe_of(family_and_noise(0, items=99))
    assert verdict(few, list(rows(few).values())).kind == "too few tasks"


def power(task_count, *, deviation, items, each, studies):
    """Return how often a true .5 within families is told from none: what `tasks_needed` promises of this design."""
    generator = np.random.default_rng(0)
    families = np.repeat(np.arange(task_count // each), each)
    told = 0
    for study in range(studies):
        true = generator.normal(size=(2, len(families)))
        true[1] = 0.5 * true[0] + 0.75**0.5 * true[1]
        levels = np.random.default_rng(study).uniform(-0.1, 0.5, size=len(families) // each)[families]
        shares = (0.5 + (levels + deviation * true) / 2).clip(0.02, 0.98)
        one, other = (within(row, families) for row in generator.binomial(items, shares) / items)
        orders = shuffled_within(families, seed=study, count=399)
        told += (1 + (pearson(one, other[orders]) >= pearson(one, other)).sum()) / 400 < 0.025
    return told / studies


def test_as_many_tasks_as_it_says_find_what_it_says():
    # Two answers: an item's variance is about .25 * 4 in units above chance at a share of .5, .24 * 4 around .6.
    needed = tasks_needed(0.2, 0.96 / 100, item_count=100, per_family=3)
    assert needed.shown == pytest.approx(0.5 * 0.04 / 0.0496)
    assert needed.task_count > LEAST_VERDICT_TASKS
    count = 3 * round(needed.task_count / 3)
    assert power(count, deviation=0.2, items=100, each=3, studies=150) == pytest.approx(0.8, abs=0.1)
    assert power(count // 6 * 3, deviation=0.2, items=100, each=3, studies=150) < 0.65
