import numpy as np
import pytest

from spillover.questions.convergence.beyond import beyond, excesses
from spillover.records import BASE
from tests.questions.convergence.made_tasks import TUNED, made_task, recipe_of, task_of_scores


def tasks_of(generator, count, *, tuned, shots=(0, 2, 4)):
    return [
        task_of_scores(
            f"task {place}",
            "family",
            {**{(BASE, shot): 0.4 for shot in shots}, (TUNED, 0): tuned},
            seed=int(generator.integers(2**32)),
        )
        for place in range(count)
    ]


def test_the_excess_is_over_the_best_of_the_base():
    scores = {(BASE, 0): 0.2, (BASE, 2): 0.6, (BASE, 4): 0.4, (TUNED, 0): 0.7}
    (row,) = excesses(recipe_of([task_of_scores("one", "family", scores)]), level=0.95)
    assert row.value == pytest.approx(0.1)
    assert row.best_shots == 2
    assert row.low < 0.1 < row.high


def test_what_is_far_above_every_shot_count_is_beyond_and_what_is_above_some_is_not():
    high = {(BASE, 0): 0.1, (BASE, 4): 0.2, (TUNED, 0): 0.9}
    some = {(BASE, 0): 0.1, (BASE, 4): 0.9, (TUNED, 0): 0.9}
    tasks = [task_of_scores("high", "family", high), task_of_scores("some", "family", some)]
    assert beyond(excesses(recipe_of(tasks), level=0.95)) == ("high",)


def test_of_models_alike_hardly_any_study_shows_a_task_to_be_beyond():
    generator = np.random.default_rng(0)
    studies = [beyond(excesses(recipe_of(tasks_of(generator, 10, tuned=0.4)), level=0.95)) for _ in range(20)]
    assert sum(bool(study) for study in studies) <= 1


def test_picking_the_best_shot_count_is_allowed_for():
    generator = np.random.default_rng(3)
    rows = [row for _ in range(15) for row in excesses(recipe_of(tasks_of(generator, 10, tuned=0.4)), level=0.95)]
    assert np.mean([row.value for row in rows]) < -0.03  # the best of three is above what each is worth
    assert np.mean([row.low <= 0 <= row.high for row in rows]) >= 0.94


def test_too_few_items_have_no_interval():
    right = {(BASE, 0): [False] * 9, (BASE, 4): [False] * 9, (TUNED, 0): [True] * 9}
    (row,) = excesses(recipe_of([made_task("one", "family", right)]), level=0.95)
    assert (row.low, row.high, row.holm_p_value, row.is_beyond) == (None, None, None, False)
