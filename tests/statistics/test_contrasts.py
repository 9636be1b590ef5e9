import numpy as np
import pytest
from scipy import stats

from spillover.records import Cell
from spillover.statistics.cells import ResampledScore, ScoreKey
from spillover.statistics.contrasts import estimate, minus
from spillover.statistics.gaffke import gaffke
from spillover.statistics.paired import resample_counts
from tests.analysis.bootstrap import resampled_values
from tests.analysis.made_scores import share

A, B, C, D = (ScoreKey(name, Cell("t", 1, 0, 0), "accuracy") for name in "abcd")


def scored(values: np.ndarray, *, unit: str = "share", seed: int | None = None) -> ResampledScore:
    statistics = np.column_stack([values, np.ones(len(values))])
    counts = resample_counts(len(values), seed=0)
    ids = tuple(map(str, range(len(values))))
    replicates = resampled_values(statistics, counts, share)
    return ResampledScore(float(values.mean()), replicates, ids, statistics, np.arange(len(values)), unit, seed)


def of_random(item_count: int = 60, seed: int = 0) -> dict[ScoreKey, ResampledScore]:
    rng = np.random.default_rng(seed)
    return {key: scored(rng.uniform(size=item_count)) for key in (A, B, C, D)}


def ends(one: ScoreKey, other: ScoreKey, scores: dict[ScoreKey, ResampledScore], level: float) -> tuple[float, float]:
    found = estimate([minus([one], [other])], scores, level=level)
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def test_a_best_has_the_ends_of_all_that_it_was_picked_from():
    scores = of_random()
    found = estimate([minus([A, B], [C, D])], scores, level=0.9)
    assert found.mean == pytest.approx(max(scores[A].value, scores[B].value) - max(scores[C].value, scores[D].value))
    # Two are picked from on either side, so that each single end is held at half the tail of 0.05.
    lows, highs = ([[ends(one, other, scores, 0.95)[side] for other in (C, D)] for one in (A, B)] for side in (0, 1))
    assert found.low == pytest.approx(max(map(min, lows)), abs=1e-3)
    assert found.high == pytest.approx(max(map(min, highs)), abs=1e-3)


def test_a_best_is_corrected_for_every_one_it_was_picked_from():
    scores = of_random()
    alone, picked = (estimate([minus(keys, [D])], scores, level=0.95) for keys in ([A], [A, A, A]))
    assert picked.mean == alone.mean
    assert picked.low == pytest.approx(ends(A, D, scores, 1 - 0.05 / 3)[0], abs=1e-3)
    assert picked.high == pytest.approx(alone.high)


def test_a_best_over_too_few_items_has_no_interval():
    found = estimate([minus([A, B], [C])], of_random(9), level=0.5)
    assert (found.low, found.high) == (None, None)
    assert "9 independent items are too few" in found.note
    assert not found.is_above_zero
    assert not found.is_below_zero


def test_differences_on_the_same_items_are_averaged_item_by_item_and_get_gaffkes_interval():
    rng = np.random.default_rng(0)
    values = {key: rng.uniform(size=40) for key in (A, B, C)}
    found = estimate([minus([A], [B]), minus([A], [C])], {key: scored(own) for key, own in values.items()}, level=0.9)
    mean = values[A] - (values[B] + values[C]) / 2
    expected = gaffke(mean, np.full(40, 1 / 40), lowest=-1.0, highest=1.0)
    assert found.mean == pytest.approx(mean.mean())
    assert (found.low, found.high) == pytest.approx(expected.interval(0.9))
    assert found.p_value == pytest.approx(expected.p_value)
    assert (found.contrast_count, found.seed_count, found.is_below_zero) == (2, 1, found.high < 0)
    # It allows for one more item that changed as much as can be, and is never inside that of normal items.
    exact = stats.ttest_1samp(mean, 0).confidence_interval(0.9)
    assert found.low < exact.low < exact.high < found.high


def test_a_metric_without_bounds_has_the_t_interval():
    rng = np.random.default_rng(0)
    values = {key: rng.normal(2, 1, size=40) for key in (A, B)}
    found = estimate([minus([A], [B])], {key: scored(own, unit="nats") for key, own in values.items()}, level=0.9)
    exact = stats.ttest_rel(values[A], values[B])
    ends = exact.confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), abs=0.04)
    assert found.p_value == pytest.approx(exact.pvalue, rel=0.3)


def test_three_seeds_that_disagree_far_beyond_the_items_get_the_t_interval_of_their_differences():
    rng, seeds = np.random.default_rng(1), (0, 1, 2)
    keys = {name: [ScoreKey(f"{name}{seed}", Cell("t", 1, 0, 0), "loss") for seed in seeds] for name in "ab"}
    base = rng.normal(2, 1, 200)
    means = np.array([0.1, 0.3, 0.2])
    scores = {}
    for seed in seeds:
        noise = rng.normal(0, 1e-3, 200)
        scores[keys["a"][seed]] = scored(base + means[seed] + noise, unit="nats", seed=seed)
        scores[keys["b"][seed]] = scored(base, unit="nats", seed=seed)
    found = estimate(
        [minus([one], [other]) for one, other in zip(keys["a"], keys["b"], strict=True)], scores, level=0.95
    )
    half = stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    assert (found.seed_count, found.high - found.low) == (3, pytest.approx(2 * half, rel=0.01))


def test_a_difference_that_no_item_shows_has_the_exact_interval_and_not_a_point():
    same = scored(np.repeat([1.0, 0.0], 20))
    found = estimate([minus([A], [B])], {A: same, B: same}, level=0.95)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 40), rel=0.02)
    assert found.low == pytest.approx(-found.high, rel=0.02)


def test_a_difference_of_differences_is_the_sum_of_both():
    rng = np.random.default_rng(2)
    values = {key: (rng.uniform(size=60) < 0.5).astype(float) for key in (A, B, C)}
    scores = {key: scored(own) for key, own in values.items()}
    found = estimate([(*minus([A], [B]), *minus([C], [B]))], scores, level=0.9)
    items = values[A] + values[C] - 2 * values[B]
    expected = gaffke(items, np.full(60, 1 / 60), lowest=-2.0, highest=2.0)
    assert found.mean == pytest.approx(items.mean())
    assert (found.low, found.high) == pytest.approx(expected.interval(0.9))


def test_a_mean_over_nothing_is_refused():
    with pytest.raises(ValueError, match="a mean over no contrast has no value"):
        estimate([], {}, level=0.95)
