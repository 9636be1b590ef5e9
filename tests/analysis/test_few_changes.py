"""Whether the interval for few changes is the exact one where there is one, and holds the truth everywhere else."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from spillover.analysis.few_changes import few_changes_intervals

from spillover.records import FloatArray

SHORT, LONG = 400, 4000
Draw = Callable[[np.random.Generator], FloatArray]
"""One world: the difference of each unit."""


def equal(count: int) -> FloatArray:
    return np.full(count, 1 / count)


def of_sizes(*sizes: int) -> FloatArray:
    return np.array(sizes) / sum(sizes)


def changed(count: int, *values: float) -> FloatArray:
    return np.array([*values, *[0.0] * (count - len(values))])


@pytest.mark.parametrize("count", [16, 32, 250])
@pytest.mark.parametrize("lost", [0, 1, 2, 5])
def test_what_may_be_lost_is_the_exact_bound_of_clopper_and_pearson(count: int, lost: int) -> None:
    low, high = few_changes_intervals(changed(count, *[-1.0] * lost), equal(count), (0.95,))[0]
    exact = stats.binomtest(lost, count).proportion_ci(0.95, method="exact").high
    assert low == pytest.approx(-exact, rel=0.03)
    assert high == pytest.approx(
        -few_changes_intervals(changed(count, *[1.0] * lost), equal(count), (0.95,))[0][0], rel=0.1
    )


def test_other_values_get_the_bound_of_learned_miller_and_thomas_which_is_over_order_statistics() -> None:
    values = np.sort([*[0.0] * 14, -0.5, 0.25, 0.3, -0.1])
    uniform = np.sort(np.random.default_rng(1).uniform(size=(40_000, len(values))), axis=1)
    upper = np.quantile(1 - uniform @ np.diff([*values, 1.0]), 0.975)
    assert few_changes_intervals(values, equal(len(values)), (0.95,))[0][1] == pytest.approx(upper, rel=0.03)


def test_units_without_any_change_count_as_many_as_their_weights_are_worth() -> None:
    weights = of_sizes(4, 2, 2, 2, 2, 2, *[1] * 17)
    effective = 1 / float(weights @ weights)
    low, high = few_changes_intervals(np.zeros(23), weights, (0.95,))[0]
    assert low == pytest.approx(-high)
    assert high == pytest.approx(1 - 0.025 ** (1 / effective), rel=0.06)


def test_an_interval_stays_within_what_a_difference_of_shares_can_be() -> None:
    low, high = few_changes_intervals(changed(10, 1.0), of_sizes(30, *[1] * 9), (0.95,))[0]
    assert (low, high) == (-1, 1)


def rare(count: int, gained: float, lost: float) -> Draw:
    return lambda generator: generator.choice([1.0, -1.0, 0.0], size=count, p=[gained, lost, 1 - gained - lost])


def partial(count: int, changes: float) -> Draw:
    """Scores between 0 and 1 of which a few rise, by much or little; on average by 0.25."""
    return lambda generator: generator.beta(0.5, 1.5, count) * (generator.uniform(size=count) < changes)


def only_large(weights: FloatArray, lost: float) -> Draw:
    """Losses in every unit that weighs more than the smallest, and in no other."""
    return lambda generator: -((generator.uniform(size=len(weights)) < lost) & (weights > weights.min())).astype(float)


UNEVEN = of_sizes(4, 2, 2, 2, 2, 2, *[1] * 17)
VERY_UNEVEN = of_sizes(8, 4, 4, *[1] * 16)
TWO_TASKS = np.concatenate([equal(16) / 2, equal(64) / 2])
FIVE_TASKS = np.tile(equal(16), 5) / 5

DESIGNS: dict[str, tuple[Draw, FloatArray, float]] = {
    "16 items, one in 5 lost": (rare(16, 0, 0.21), equal(16), -0.21),
    "16 items, one in 10 lost": (rare(16, 0, 0.1), equal(16), -0.1),
    "24 items, one in 7 gained": (rare(24, 1 / 7, 0), equal(24), 1 / 7),
    "32 items, as many gained as lost": (rare(32, 0.03, 0.03), equal(32), 0.0),
    "32 items, more lost than gained": (rare(32, 0.02, 0.08), equal(32), -0.06),
    "32 items, all but a few gained": (rare(32, 0.95, 0), equal(32), 0.95),
    "250 items, one in 65 lost": (rare(250, 0, 1 / 65), equal(250), -1 / 65),
    "32 scores, few of which rise": (partial(32, 0.06), equal(32), 0.015),
    "23 sources of uneven size": (rare(23, 0.02, 0.06), UNEVEN, -0.04),
    "23 sources, only the large ones lose": (only_large(UNEVEN, 0.5), UNEVEN, -0.5 * 14 / 31),
    "19 sources of very uneven size, only the large ones lose": (
        only_large(VERY_UNEVEN, 0.7),
        VERY_UNEVEN,
        -0.7 * 16 / 32,
    ),
    "tasks of 16 and 64 items": (rare(80, 0.01, 0.04), TWO_TASKS, -0.03),
    "tasks of 16 and 64 items, only the small one loses": (only_large(TWO_TASKS, 0.1), TWO_TASKS, -0.05),
    "five tasks of 16 items": (rare(80, 0.01, 0.04), FIVE_TASKS, -0.03),
}


def covered(name: str, count: int) -> float:
    draw, weights, truth = DESIGNS[name]
    generator = np.random.default_rng(0)
    known: dict[bytes, tuple[float, float]] = {}  # of few changes there are few patterns
    held = 0
    for _ in range(count):
        means = draw(generator)
        order = np.lexsort((means, weights))
        pattern = means[order].tobytes()
        if pattern not in known:
            known[pattern] = few_changes_intervals(means[order], weights[order], (0.95,))[0]
        low, high = known[pattern]
        held += low <= truth <= high
    return held / count


@pytest.mark.parametrize(
    "name", ["16 items, one in 5 lost", "32 items, as many gained as lost", "23 sources, only the large ones lose"]
)
def test_the_interval_holds_the_truth_as_often_as_it_says(name: str) -> None:
    assert covered(name, SHORT) >= 0.95 - 2.6 * np.sqrt(0.05 * 0.95 / SHORT)


@pytest.mark.long
@pytest.mark.parametrize("name", DESIGNS)
def test_the_interval_holds_the_truth_as_often_as_it_says_in_many_worlds(name: str) -> None:
    assert covered(name, LONG) >= 0.95
