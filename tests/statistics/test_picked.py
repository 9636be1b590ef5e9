import numpy as np
import pytest
from scipy import stats

from spillover.statistics.gaffke import Confidence
from spillover.statistics.picked import highest_of, lowest_of, mean_of_dependent
from spillover.statistics.resampled import half_widths


def normal(value: float, error: float = 1.0) -> Confidence:
    widths = half_widths(error, 1e9)
    return Confidence(value, widths, widths)


def test_the_best_of_equals_has_bonferronis_lower_end_and_a_single_ones_upper_end():
    low, high = highest_of([normal(0.0)] * 4).interval(0.95)
    assert low == pytest.approx(stats.norm.ppf(0.025 / 4), abs=0.01)
    assert high == pytest.approx(stats.norm.ppf(0.975), abs=0.01)


def test_one_far_above_the_rest_keeps_its_own_ends_but_for_having_looked():
    low, high = highest_of([normal(0.0), normal(50.0)]).interval(0.95)
    assert (low, high) == pytest.approx((50 + stats.norm.ppf(0.0125), 50 + stats.norm.ppf(0.975)), abs=0.01)


def test_the_worst_is_the_best_turned_round():
    low, high = lowest_of([normal(1.0), normal(3.0, 2.0)]).interval(0.9)
    turned = highest_of([normal(-1.0), normal(-3.0, 2.0)]).interval(0.9)
    assert (low, high) == pytest.approx((-turned[1], -turned[0]))


def test_means_of_what_may_be_off_together_are_off_by_the_mean():
    found = mean_of_dependent([normal(1.0), normal(3.0, 3.0)])
    assert found.value == 2.0
    assert found.interval(0.95) == pytest.approx((2 - 2 * 1.96, 2 + 2 * 1.96), abs=0.01)


def test_the_best_of_noisy_equals_is_hardly_ever_said_to_be_above_what_it_is():
    generator = np.random.default_rng(0)
    lows = [highest_of([normal(value) for value in generator.normal(size=4)]).interval(0.95)[0] for _ in range(400)]
    assert np.mean(np.array(lows) > 0) < 0.05
    naive = [generator.normal(size=4).max() - 1.96 for _ in range(400)]
    assert np.mean(np.array(naive) > 0) > 0.07
