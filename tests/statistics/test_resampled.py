import numpy as np
import pytest
from scipy import stats

from spillover.statistics.gaffke import DEPTHS
from spillover.statistics.resampled import (
    degrees_of_freedom,
    expanded_percentiles,
    from_resamples,
    grown,
    half_widths,
    resampled_interval,
    spread_over,
)

NORMAL = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
"""What resamples of a mean would be, evenly spaced."""


def test_a_change_is_spread_over_the_units_that_changed_alike() -> None:
    assert spread_over(np.array([0.0] * 30 + [1.0] * 7)) == pytest.approx(7)
    assert spread_over(np.array([-1.0] * 195 + [0.0] * 5)) == pytest.approx(195)  # a fall of nearly all is no rare one
    assert spread_over(np.zeros(12)) == 0
    assert spread_over(np.full(12, 0.3)) == pytest.approx(12)


def test_many_that_jitter_do_not_count_beside_one_that_changed() -> None:
    changes = np.append(np.random.default_rng(0).normal(0, 1e-4, 200), 1.0)
    assert spread_over(changes) == pytest.approx(1, abs=0.05)


def test_normal_changes_are_spread_over_two_thirds_of_the_units() -> None:
    # (E|x|)² / E x² = 2 / pi.
    assert spread_over(np.random.default_rng(1).normal(size=20_000)) == pytest.approx(20_000 * 2 / np.pi, rel=0.02)


def test_several_statistics_of_a_unit_count_together() -> None:
    changes = np.zeros((40, 3))
    changes[:5, 0], changes[:5, 2] = 1.0, -2.0
    changes[5, 1] = 3.0
    assert spread_over(changes) == pytest.approx(6)


def test_resamples_of_normal_items_have_the_t_interval_at_every_level_that_they_tell() -> None:
    found = from_resamples(1.0, 1.0 + NORMAL * np.sqrt(9 / 10), 10)
    for level in (0.8, 0.95, 0.99):
        half = stats.t.ppf((1 + level) / 2, 9)
        assert found.interval(level) == (pytest.approx(1 - half, abs=0.01), pytest.approx(1 + half, abs=0.01))


def test_far_out_the_ends_grow_as_students_t_does() -> None:
    few = from_resamples(0.0, NORMAL[::100] * np.sqrt(29 / 30), 30)
    assert few.interval(1 - 1e-8)[1] == pytest.approx(stats.t.ppf(1 - 0.5e-8, 29), rel=0.05)
    seen = np.linspace(0, 1, 20)
    student = -stats.t.ppf(stats.norm.cdf(-DEPTHS), 5)
    assert grown(seen, 5)[-1] == pytest.approx(student[-1] / student[19])


def test_half_widths_are_students_t_times_the_error() -> None:
    widths = half_widths(0.1, 2.0)
    depth = stats.norm.isf(0.025)
    assert float(np.interp(depth, DEPTHS, widths)) == pytest.approx(0.1 * stats.t.ppf(0.975, 2), rel=0.005)


def test_percentiles_expand_to_the_width_of_the_t_interval() -> None:
    low, high = expanded_percentiles(NORMAL * np.sqrt(9 / 10), 9, float(np.sqrt(10 / 9)), 0.95)
    half = stats.t.ppf(0.975, 9)
    assert (low, high) == (pytest.approx(-half, abs=0.01), pytest.approx(half, abs=0.01))


def test_few_units_and_resamples_that_are_all_the_same_have_no_interval() -> None:
    assert resampled_interval(NORMAL, 9, 0.95) == (None, None)
    assert resampled_interval(np.ones(100), 50, 0.95) == (None, None)
    assert resampled_interval(NORMAL, 10, 0.95)[0] is not None


def test_degrees_of_freedom_are_those_of_welch() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(0, 1, 12), rng.normal(0, 3, 20)
    variances = np.array([one.var(ddof=1) / 12, other.var(ddof=1) / 20])
    welch = stats.ttest_ind(one, other, equal_var=False)
    assert degrees_of_freedom(variances, np.array([11.0, 19.0])) == pytest.approx(welch.df)
    assert degrees_of_freedom(np.zeros(2), np.array([11.0, 19.0])) == 11
