from itertools import product

import numpy as np
import pytest
from scipy import stats

from spillover.statistics.flips import flipped

WEIGHTS = np.array([5, 3, 2, 2, 1, 1, 1, 1, 1, 1]) / 18


def tail_of_signs(means: np.ndarray, weights: np.ndarray, truth: float) -> float:
    """Return how many of all signs give a sum as low as the one seen, or lower, if the truth were ``truth``."""
    pulls = weights * (means - truth)
    sums = np.array([signs @ pulls for signs in product((-1.0, 1.0), repeat=len(pulls))])
    return float((sums <= pulls.sum() + 1e-12).mean())


def test_the_ends_are_where_the_test_by_random_signs_rejects() -> None:
    means = np.random.default_rng(0).normal(0.1, 0.2, 10)
    found = flipped(means, WEIGHTS)
    low, high = found.interval(0.9)
    # 1,024 signs: a tail of 0.05 is 51 of them, and depths are read off in steps.
    assert tail_of_signs(means, WEIGHTS, high) == pytest.approx(0.05, abs=0.005)
    assert tail_of_signs(-means, WEIGHTS, -low) == pytest.approx(0.05, abs=0.005)


def test_many_even_sources_have_nearly_the_t_interval() -> None:
    means = np.random.default_rng(1).normal(0, 1, 60)
    exact = stats.ttest_1samp(means, 0).confidence_interval()
    low, high = flipped(means, np.full(60, 1 / 60)).interval(0.95)
    assert low == pytest.approx(exact.low, abs=0.03)
    assert high == pytest.approx(exact.high, abs=0.03)


def test_negated_means_have_the_mirrored_ends_and_levels_rise() -> None:
    means = np.random.default_rng(2).normal(0.1, 0.2, 10)
    one, other = flipped(means, WEIGHTS), flipped(-means, WEIGHTS)
    assert one.below == pytest.approx(other.above)
    assert (np.diff(one.below) >= 0).all()
    assert (np.diff(one.above) >= 0).all()


def test_equal_means_leave_no_doubt_by_signs_alone() -> None:
    found = flipped(np.full(12, 0.3), np.full(12, 1 / 12))
    assert found.interval(0.95) == (pytest.approx(0.3), pytest.approx(0.3))
