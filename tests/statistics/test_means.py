from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from spillover.records import BASE, Cell, Relation, StudyResults, VariantCard
from spillover.statistics.cells import ScoreKey, resample_scores
from spillover.statistics.gaffke import combined, gaffke
from spillover.statistics.means import Mean, is_share, mean_difference, primary_cells, tasks_by_kind
from tests.analysis.made_scores import METRICS, cell_scores, task

RNG = np.random.default_rng(0)
BASES = {"a": RNG.integers(0, 2, 40).astype(float), "b": RNG.integers(0, 2, 60).astype(float)}
SEEDS = (0, 1, 2)


def made(answers: dict[tuple[int, str], np.ndarray]) -> StudyResults:
    cards = tuple(
        VariantCard(id=f"sft/a/8/{seed}", name="sft", trained_on="a", size=8, seed=seed, recipe={}) for seed in SEEDS
    )
    rows = [cell_scores(BASE, name, 0, own) for name, own in BASES.items()]
    rows += [cell_scores(f"sft/a/8/{seed}", name, 0, own) for (seed, name), own in answers.items()]
    tasks = (task("a"), task("b"))
    relations = {(card.id, own.name): Relation.CROSS_TASK for card in cards for own in tasks}
    return StudyResults("made", {}, cards, tasks, relations, METRICS, tuple(rows), (), (), {})


def mean_of(results: StudyResults, seeds: tuple[int, ...]) -> Mean:
    scores = resample_scores(results, resample_count=500)
    keys = [primary_cells(scores, f"sft/a/8/{seed}", results.tasks) for seed in seeds]
    return mean_difference(keys, scores, results.metrics["accuracy"], level=0.95, margin=0.02)


def flipped(name: str, share: float) -> np.ndarray:
    own = BASES[name].copy()
    own[: int(share * len(own))] = 0.0
    return own


SAME = made({(seed, name): flipped(name, 0.3) for seed in SEEDS for name in BASES})
APART = made({(seed, name): flipped(name, (0.0, 0.3, 0.6)[seed]) for seed in SEEDS for name in BASES})


def test_a_variants_mean_over_tasks_is_combined_from_its_items() -> None:
    found = mean_of(SAME, (0,))
    changes = [flipped(name, 0.3) - base for name, base in BASES.items()]
    parts = [gaffke(own, np.full(len(own), 1 / len(own)), lowest=-1.0, highest=1.0) for own in changes]
    expected = combined(parts, [0.5, 0.5])
    assert found.difference == pytest.approx(np.mean([own.mean() for own in changes]))
    assert found.variant_mean - found.base_mean == pytest.approx(found.difference)
    assert (found.found.low, found.found.high) == pytest.approx(expected.interval(0.95))
    assert (found.scatter, found.seed_values) == (None, (pytest.approx(found.difference),))


def test_seeds_that_answer_alike_leave_the_interval_of_one() -> None:
    one, three = mean_of(SAME, (0,)), mean_of(SAME, SEEDS)
    assert (three.found.low, three.found.high) == pytest.approx((one.found.low, one.found.high))
    assert three.scatter is not None
    assert three.scatter.error == 0


def test_seeds_that_disagree_widen_it_by_students_t() -> None:
    found = mean_of(APART, SEEDS)
    values = np.array(found.seed_values)
    assert values == pytest.approx([mean_of(APART, (seed,)).difference for seed in SEEDS])
    assert found.scatter is not None
    own_share = found.scatter.error / (values.std(ddof=1) / np.sqrt(3))
    assert 0.8 < own_share <= 1  # some of it may be noise of items
    half = stats.t.ppf(0.975, 2) * found.scatter.error
    assert found.found.low is not None
    assert found.found.low < found.difference - half


def test_tasks_are_grouped_by_relation_and_kind_in_order() -> None:
    results = replace(
        SAME,
        tasks=(task("a", metric="loss"), task("b")),
        relations={("sft/a/8/0", "a"): Relation.CROSS_TASK, ("sft/a/8/0", "b"): Relation.IN_DOMAIN},
    )
    groups = tasks_by_kind(results, results.variants[0])
    assert [(relation, kind) for relation, kind in groups] == [
        (Relation.IN_DOMAIN, "accuracy"),
        (Relation.CROSS_TASK, "loss"),
    ]
    assert [is_share(own, results) for own in results.tasks] == [False, True]


def test_the_cells_of_tasks_are_those_of_their_primary_metrics() -> None:
    scores = resample_scores(SAME, resample_count=5)
    assert primary_cells(scores, BASE, SAME.tasks) == [
        ScoreKey(BASE, Cell(name, 1, 0, 0), "accuracy") for name in BASES
    ]
