import numpy as np
import pytest
from scipy import stats

from spillover.analysis.cells import ResampledScore, ScoreKey
from spillover.analysis.contrasts import Estimate, estimate, minus
from spillover.analysis.paired import resample_counts
from spillover.records import Cell
from tests.analysis.bootstrap import resampled_values
from tests.analysis.made_scores import share


def score(value: float, replicates: list[float], item_count: int = 12) -> ResampledScore:
    return ResampledScore(value, np.array(replicates), (), np.zeros((0, 2)), np.arange(item_count))


A, B, C = (ScoreKey(name, Cell("t", 1, 0, 0), "accuracy") for name in "abc")
SCORES = {
    A: score(0.6, [0.5, 0.6, 0.7]),
    B: score(0.4, [0.6, 0.2, 0.4]),
    C: score(0.1, [0.1, 0.1, 0.1]),
}


def test_a_difference_is_paired_and_its_best_is_picked_anew_in_every_resample():
    found = estimate([minus([A, B], [C])], SCORES, level=0.5)
    picked = np.array([0.6, 0.6, 0.7]) - 0.1
    tail = stats.norm.cdf(np.sqrt(12 / 11) * stats.t.ppf(0.25, 11))  # expanded for twelve items
    assert found.mean == pytest.approx(0.5)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(picked, [tail, 1 - tail])))


def test_a_best_over_too_few_items_has_no_interval():
    few = {**SCORES, C: score(0.1, [0.1, 0.1, 0.1], item_count=9)}
    found = estimate([minus([A, B], [C])], few, level=0.5)
    assert found == Estimate(pytest.approx(0.5), None, None, 1)
    assert not found.is_above_zero
    assert not found.is_below_zero


def scored(values: np.ndarray) -> ResampledScore:
    statistics = np.column_stack([values, np.ones(len(values))])
    counts = resample_counts(len(values), seed=0)
    ids = tuple(map(str, range(len(values))))
    replicates = resampled_values(statistics, counts, share)
    return ResampledScore(float(values.mean()), replicates, ids, statistics, np.arange(len(values)))


def test_differences_on_the_same_items_are_averaged_item_by_item_and_get_the_t_interval():
    rng = np.random.default_rng(0)
    values = {key: rng.uniform(size=40) for key in (A, B, C)}
    found = estimate([minus([A], [B]), minus([A], [C])], {key: scored(own) for key, own in values.items()}, level=0.9)
    mean = values[A] - (values[B] + values[C]) / 2
    exact = stats.ttest_1samp(mean, 0).confidence_interval(0.9)
    assert found.mean == pytest.approx(mean.mean())
    assert found.low == pytest.approx(exact.low, abs=0.01)
    assert found.high == pytest.approx(exact.high, abs=0.01)
    assert (found.contrast_count, found.is_below_zero) == (2, exact.high < 0)


def test_a_difference_that_no_item_shows_has_the_exact_interval_and_not_a_point():
    same = scored(np.repeat([1.0, 0.0], 20))
    found = estimate([minus([A], [B])], {A: same, B: same}, level=0.95)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 40), rel=0.02)
    assert found.low == pytest.approx(-found.high, rel=0.02)


def test_a_difference_of_differences_is_the_sum_of_both():
    found = estimate([(*minus([A], [B]), *minus([C], [B]))], SCORES, level=0.9)
    assert found.mean == pytest.approx(0.2 - 0.3)


def test_a_mean_over_nothing_is_refused():
    with pytest.raises(ValueError, match="a mean over no contrast has no value"):
        estimate([], SCORES, level=0.95)
