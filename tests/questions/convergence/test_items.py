from itertools import permutations

import numpy as np
import pytest

from spillover.questions.convergence.items import error_consistency, gold_correlation, item_level
from spillover.questions.convergence.reading import Answers
from spillover.questions.convergence.scores import TaskPair
from spillover.records import BASE
from tests.questions.convergence.made_tasks import TUNED, made_task, recipe_of

HITS = np.array([True, True, False, True, False, False, True, False, True, True])


def pair_of(base, tuned, classes, units=None):
    count = len(base)
    task = made_task("one", "family", {(BASE, 0): [True] * count}, classes=classes)
    answers = [Answers(np.ones((1, count), bool), np.array([gold], float), 0.5) for gold in (base, tuned)]
    own = np.arange(count) if units is None else np.array(units)
    return TaskPair(task, own, {0: answers[0], 4: answers[0]}, answers[1])


def test_a_tuned_model_that_is_the_base_errs_alike():
    assert error_consistency(HITS, HITS) == pytest.approx(1)
    tasks = [made_task("one", "family", {(BASE, 0): ~HITS, (BASE, 4): HITS, (TUNED, 0): HITS})]
    found = item_level(recipe_of(tasks))
    assert found.tasks[0].kappa == pytest.approx(1)
    assert found.gold[0].correlation == pytest.approx(1)
    assert found.gold[1].correlation == pytest.approx(-1)
    assert found.gold[0].z > 0


def test_error_consistency_is_cohens_kappa():
    other = np.roll(HITS, 1)
    p, q, both = 0.6, 0.6, np.mean(other == HITS)
    expected = p * q + (1 - p) * (1 - q)
    assert error_consistency(HITS, other) == pytest.approx((both - expected) / (1 - expected))


@pytest.mark.parametrize("never", [np.ones(10, bool), np.zeros(10, bool)])
def test_a_model_that_is_always_or_never_right_has_no_error_consistency(never):
    assert error_consistency(HITS, never) is None
    assert error_consistency(never, HITS) is None


def test_new_items_are_those_that_no_shot_count_of_the_base_gets_right():
    zero = [True, False, False, False]
    shots = [False, True, False, False]
    tuned = [True, False, True, False]
    found = item_level(recipe_of([made_task("one", "f", {(BASE, 0): zero, (BASE, 4): shots, (TUNED, 0): tuned})]))
    assert (found.tasks[0].new_share, found.tasks[0].lost_share) == (0.25, 0.25)


def test_the_null_is_every_order_within_task_and_target():
    base, tuned = np.array([0.1, 0.9, 0.4, 0.3, 0.8, 0.2]), np.array([0.3, 0.7, 0.1, 0.5, 0.6, 0.9])
    found = gold_correlation("x", [pair_of(base, tuned, [0, 0, 0, 0, 1, 1])], in_context=True)
    sums = []
    for first in permutations(range(4)):
        for second in permutations((4, 5)):
            order = [*first, *second]
            centred = [
                np.concatenate([values[:4] - values[:4].mean(), values[4:] - values[4:].mean()])
                for values in (base, tuned[order])
            ]
            sums.append(float(centred[0] @ centred[1]))
    assert np.mean(sums) == pytest.approx(0, abs=1e-12)
    assert found.z == pytest.approx(sums[0] / np.std(sums))


def test_a_target_that_is_easier_for_both_is_no_correlation():
    classes = [0] * 20 + [1] * 20
    generator = np.random.default_rng(1)
    level = np.repeat([0.0, 5.0], 20)
    base, tuned = level + generator.normal(size=(2, 40))
    assert np.corrcoef(base, tuned)[0, 1] > 0.8
    assert abs(gold_correlation("x", [pair_of(base, tuned, classes)], in_context=True).z) < 3


def test_items_of_one_source_are_one():
    base, tuned = np.array([1.0, 2, 3, 4]), np.array([2.0, 1, 4, 3])
    found = gold_correlation("x", [pair_of(base, tuned, [0] * 4, [0, 0, 1, 2])], in_context=True)
    alone = gold_correlation("x", [pair_of([1.5, 3, 4], [1.5, 4, 3], [0] * 3)], in_context=True)
    assert (found.unit_count, found.correlation, found.z) == (3, alone.correlation, alone.z)


def test_what_does_not_vary_has_no_correlation():
    found = gold_correlation("x", [pair_of([0.5] * 5, [1.0, 2, 3, 4, 5], [0] * 5)], in_context=True)
    assert (found.correlation, found.z, found.p_value) == (None, None, None)
