import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from spillover.records import FloatArray
from spillover.statistics.paired import (
    content_seed,
    percentile_interval,
    resample_counts,
    resampled_together,
)
from tests.analysis.bootstrap import paired_bootstrap


def mean(totals: FloatArray) -> FloatArray:
    return np.asarray(totals[..., 0] / totals[..., 1], dtype=np.float64)


def f_score(totals: FloatArray) -> FloatArray:
    return np.asarray(2 * totals[..., 0] / (totals[..., 1] + totals[..., 2]), dtype=np.float64)


def counted(values: FloatArray) -> FloatArray:
    return np.column_stack([values, np.ones(len(values))])


def test_matches_a_loop_that_resamples_rows_one_by_one() -> None:
    rng = np.random.default_rng(0)
    base, variant = rng.uniform(0.5, 1, (9, 3)), rng.uniform(0.5, 1, (9, 3))
    found = paired_bootstrap(base, variant, f_score, seed=3, resample_count=200)

    draws = np.random.default_rng(3).integers(0, 9, size=(200, 9))

    def slow(rows: FloatArray) -> float:
        hit, predicted, wanted = (sum(row[column] for row in rows) for column in range(3))
        return float(2 * hit / (predicted + wanted))

    replicates = sorted(slow(variant[draw]) - slow(base[draw]) for draw in draws)
    # With 200 sorted values, the 2.5 % point lies at position 0.025 * 199 = 4.975.
    assert found.low == pytest.approx(replicates[4] + 0.975 * (replicates[5] - replicates[4]), abs=1e-12)
    assert found.value == pytest.approx(slow(variant))
    assert found.difference == pytest.approx(slow(variant) - slow(base))


def test_metrics_resampled_together_are_those_resampled_alone_column_by_column() -> None:
    rng = np.random.default_rng(2)
    counts = resample_counts(250, seed=5, resample_count=300)
    scores = [(rng.uniform(0.5, 1, (250, 3)), f_score), (counted(rng.normal(0, 1, 250)), mean)] * 8
    for (statistics, combine), found in zip(scores, resampled_together(scores, counts), strict=True):
        totals = np.column_stack([(counts * column).sum(axis=1) for column in statistics.T])
        assert np.abs(found - combine(totals)).max() < 1e-12


def test_an_interval_ends_at_the_quantiles_of_the_replicates() -> None:
    replicates = np.random.default_rng(3).normal(0, 1, 2000)
    for level in (0.9, 0.95, 0.9712):
        quantiles = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
        assert percentile_interval(replicates, level) == pytest.approx(tuple(quantiles), abs=1e-12)


def test_agrees_with_the_normal_interval_of_a_mean_difference() -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(0.4, 0.2, 400)
    variant = base + rng.normal(0.05, 0.1, 400)
    found = paired_bootstrap(counted(base), counted(variant), mean, seed=0, resample_count=4000)
    differences = variant - base
    half = stats.norm.ppf(0.975) * differences.std() / np.sqrt(400)
    assert found.difference == pytest.approx(differences.mean())
    # The Monte Carlo error of a 2.5 % point over 4,000 resamples is about 4 % of the half width.
    assert found.low == pytest.approx(differences.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(differences.mean() + half, abs=0.15 * half)


def test_holds_the_true_difference_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for trial in range(200):
        base = (rng.uniform(size=80) < 0.5).astype(float)
        variant = np.where(rng.uniform(size=80) < 0.3, rng.uniform(size=80) < 0.8, base).astype(float)
        # The variant re-answers 30 % of the items with 80 % success: 0.7 * 0.5 + 0.3 * 0.8 - 0.5 = 0.09.
        found = paired_bootstrap(counted(base), counted(variant), mean, seed=trial, resample_count=300)
        held += found.low <= 0.09 <= found.high
    # Binomial(200, 0.95) lies above 179 with probability 0.999.
    assert held >= 179


def test_pairing_narrows_the_interval_of_correlated_scores() -> None:
    rng = np.random.default_rng(4)
    base = rng.uniform(size=60)
    paired = paired_bootstrap(counted(base), counted(base + 0.1), mean, seed=0)
    shuffled = paired_bootstrap(counted(base), counted(rng.permutation(base) + 0.1), mean, seed=0)
    assert paired.high - paired.low < 1e-9 < 0.05 < shuffled.high - shuffled.low


def test_equal_scores_give_an_interval_without_width_that_says_so() -> None:
    values = counted(np.random.default_rng(5).uniform(size=20))
    found = paired_bootstrap(values, values.copy(), mean, seed=0)
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert found.has_no_width


def test_every_resample_draws_as_many_items_as_there_are() -> None:
    counts = resample_counts(7, seed=0, resample_count=50)
    assert counts.shape == (50, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert abs(resample_counts(7, seed=0, resample_count=20_000).mean(axis=0) - 1).max() < 0.03


def test_a_content_seed_depends_on_the_texts_alone() -> None:
    code = "from spillover.statistics.paired import content_seed; print(content_seed('amazon', 'row 1'))"
    other_process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(other_process.stdout) == content_seed("amazon", "row 1")
    assert content_seed("ab", "c") != content_seed("a", "bc")


@pytest.mark.parametrize(
    ("base", "variant", "message"),
    [
        (np.ones((1, 2)), np.ones((1, 2)), "at least 2 examples, got 1"),
        (np.ones((3, 2)), np.ones((4, 2)), r"shape \(3, 2\), the variant of \(4, 2\)"),
        (np.ones(3), np.ones(3), r"shape \(examples, k\), got \(3,\)"),
        (np.ones((3, 2)), np.array([[1, 1], [np.nan, 1], [1, 1]]), "a statistic is not finite"),
    ],
)
def test_refuses_what_cannot_be_compared(base: FloatArray, variant: FloatArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(base, variant, mean, seed=0)


def test_refuses_a_metric_that_is_not_finite_on_a_resample() -> None:
    def overflowing(totals: FloatArray) -> FloatArray:
        return np.where(totals[..., 0] > 3, np.inf, totals[..., 0])

    values = counted(np.array([0.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="the metric of a resample is not finite"):
        paired_bootstrap(values, values, lambda totals: overflowing(totals * 1.5), seed=0)


def test_refuses_a_level_outside_zero_and_one() -> None:
    with pytest.raises(ValueError, match="between 0 and 1, got 95"):
        percentile_interval(np.ones(3), 95)
