import numpy as np
import pytest

from spillover.records import BASE
from tests.questions.convergence.made_tasks import TUNED, made_task, recipe_of

CLASSES = [0] * 8 + [1] * 2


def both(right, **settings):
    tasks = [made_task("one", "family", {(BASE, 0): right, (BASE, 4): right, (TUNED, 0): right}, **settings)]
    return recipe_of(tasks).pairs[0]


def test_scores_weigh_targets_alike_and_chance_is_zero():
    # Eight items of one target, two of the other: always saying the first is right in 80 %, and knows nothing.
    pair = both([True] * 8 + [False] * 2, classes=CLASSES)
    assert pair.score(pair.tuned) == pytest.approx(0)
    assert both([True] * 10, classes=CLASSES).score(both([True] * 10, classes=CLASSES).tuned) == pytest.approx(1)
    half = both([True] * 4 + [False] * 4 + [True, True], classes=CLASSES)  # recalls .5 and 1: (.75 - .5) / .5
    assert half.score(half.tuned) == pytest.approx(0.5)


def test_noise_is_the_variance_over_other_items_of_each_target():
    generator = np.random.default_rng(0)
    pair = both([True] * 4 + [False] * 4 + [True, False], classes=CLASSES)
    drawn = [(np.mean(generator.random(8) < 0.5) + np.mean(generator.random(2) < 0.5)) / 2 / 0.5 for _ in range(20000)]
    # Both recalls are .5; the estimate has n - 1 of 10 items in place of the n it would have of known recalls.
    assert pair.noise([pair.tuned])[0, 0] == pytest.approx(np.var(drawn) * 10 / 9, rel=0.05)


def test_noise_of_two_models_goes_together_as_their_items_do():
    right = np.arange(40) % 2 == 0
    tasks = [made_task("one", "family", {(BASE, 0): right, (BASE, 4): ~right, (TUNED, 0): right})]
    pair = recipe_of(tasks).pairs[0]
    same = pair.noise([pair.base[0], pair.tuned])
    assert same[0, 1] == pytest.approx(same[0, 0])
    assert pair.noise([pair.base[4], pair.tuned])[0, 1] == pytest.approx(-same[0, 0])


def test_training_seeds_are_one_recipe():
    tasks = [
        made_task(
            "one", "family", {(BASE, 0): [True] * 4, (BASE, 4): [True] * 4, ("a", 0): [True] * 4, ("b", 0): [False] * 4}
        )
    ]
    recipe = recipe_of(tasks, variants=("a", "b"))
    assert recipe.tuned == pytest.approx([0.0])  # right in half of all answers, which is chance
    assert recipe.pairs[0].most_shots == 4
    assert not recipe_of(tasks, variants=("a", "c")).pairs  # a seed that was not asked
