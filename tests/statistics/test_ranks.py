import numpy as np
import pytest
from scipy import stats

from spillover.statistics.paired import resample_counts
from spillover.statistics.ranks import partial, pearson, ranks, shuffled_within, spearman, within

DRAWS = np.random.default_rng(0)
ONE, OTHER = DRAWS.normal(size=20), DRAWS.integers(0, 5, size=20).astype(float)


def test_correlations_are_those_of_scipy_ties_included():
    assert ranks(OTHER) == pytest.approx(stats.rankdata(OTHER))
    assert spearman(ONE, OTHER) == pytest.approx(stats.spearmanr(ONE, OTHER).statistic)
    assert pearson(ONE, OTHER) == pytest.approx(stats.pearsonr(ONE, OTHER).statistic)


def test_weights_are_how_often_a_value_is_there():
    weights = resample_counts(20, seed=1, resample_count=5)
    for row, found, product_moment in zip(
        weights, spearman(ONE, OTHER, weights), pearson(ONE, OTHER, weights), strict=True
    ):
        one, other = (np.repeat(values, row.astype(int)) for values in (ONE, OTHER))
        assert found == pytest.approx(stats.spearmanr(one, other).statistic)
        assert product_moment == pytest.approx(stats.pearsonr(one, other).statistic)


def test_rank_correlation_stays_under_monotone_maps():
    assert spearman(np.exp(ONE), OTHER**3) == pytest.approx(spearman(ONE, OTHER))
    assert spearman(ONE, np.arctan(ONE)) == pytest.approx(1)
    assert spearman(-ONE, ONE) == pytest.approx(-1)


def test_a_constant_has_no_correlation():
    assert np.isnan(spearman(np.ones(20), ONE))
    assert np.isnan(pearson(ONE, np.full(20, 0.1)))
    assert pearson(ONE, 1e-9 * OTHER) == pytest.approx(stats.pearsonr(ONE, OTHER).statistic)  # small is not constant


def test_partial_correlation_by_hand_on_four_points():
    # Ranks 1 2 3 4, 2 1 4 3 and 1 3 2 4: the correlations of pairs are 1 - 6 * sum(d ** 2) / 60.
    one, other, third = (np.array(values, float) for values in ([1, 2, 3, 4], [2, 1, 4, 3], [1, 3, 2, 4]))
    pairs = [spearman(one, other), spearman(one, third), spearman(other, third)]
    assert pairs == pytest.approx([0.6, 0.8, 0.0])
    assert partial(*pairs) == pytest.approx((0.6 - 0.8 * 0.0) / (0.36 * 1) ** 0.5)


def test_partial_correlation_is_that_of_what_regressions_leave():
    third = DRAWS.normal(size=20)
    left = [values - np.polyval(np.polyfit(third, values, 1), third) for values in (ONE, OTHER)]
    found = partial(pearson(ONE, OTHER), pearson(ONE, third), pearson(OTHER, third))
    assert found == pytest.approx(stats.pearsonr(*left).statistic)
    assert np.isnan(partial(pearson(ONE, OTHER), pearson(ONE, ONE), pearson(OTHER, ONE)))


def test_within_groups_the_mean_is_gone_and_shuffles_stay():
    groups = np.array([0, 2, 0, 1, 2, 2, 1, 0])
    centred = within(np.arange(8.0), groups)
    assert centred == pytest.approx([-3, -7 / 3, -1, -1.5, 2 / 3, 5 / 3, 1.5, 4])
    orders = shuffled_within(groups, seed=3, count=4000)
    assert (groups[orders] == groups).all()
    assert all(sorted(order) == list(range(8)) for order in orders[:50].tolist())
    # Each of the three places of group 0 is as likely in place 0.
    share = np.bincount(orders[:, 0], minlength=8)[[0, 2, 7]] / 4000
    assert share == pytest.approx([1 / 3] * 3, abs=0.04)
