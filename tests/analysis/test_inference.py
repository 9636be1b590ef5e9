import numpy as np
import pytest
from scipy import stats

from spillover.analysis.cells import ResampledScore
from spillover.analysis.inference import degrees_of_freedom, expanded_percentiles, infer, mcnemar_p_value, wilson
from spillover.analysis.paired import resample_counts
from spillover.records import FloatArray, MetricCard
from tests.analysis.bootstrap import resampled_values
from tests.analysis.made_scores import share

ACCURACY = MetricCard("accuracy", share, "share")


def scored(values: list[float], units: list[int] | None = None) -> ResampledScore:
    statistics = np.column_stack([values, np.ones(len(values))])
    own = np.arange(len(values)) if units is None else np.array(units)
    counts = resample_counts(int(own.max()) + 1, seed=0, resample_count=500).take(own, axis=1)
    return ResampledScore(float(np.mean(values)), resampled_values(statistics, counts, share), (), statistics, own)


def inferred(own: list[float], base: list[float], *, card: MetricCard = ACCURACY, units: list[int] | None = None):
    return infer([[(scored(own, units), scored(base, units))]], card, level=0.95, margin=0.02)


def test_nine_items_get_no_interval_and_a_reason() -> None:
    found = inferred([1.0] * 9, [0.0] * 9)
    assert (found.low, found.high, found.is_equivalent, found.nothing_lost) == (None, None, None, None)
    assert found.note == "9 independent items are too few for an interval (10 needed)"


def test_items_of_few_sources_are_too_few_however_many_there_are() -> None:
    found = inferred([1.0, 0.0] * 50, [0.0] * 100, units=[index // 20 for index in range(100)])
    assert found.low is None
    assert found.note.startswith("5 independent items are too few")


def test_where_nothing_differs_the_interval_is_the_exact_one_and_not_a_point() -> None:
    same = [1.0, 0.0] * 125
    found = inferred(same, same)
    bound = 1 - 0.025 ** (1 / 250)
    assert (found.low, found.high) == (pytest.approx(-bound, rel=0.02), pytest.approx(bound, rel=0.02))
    assert found.is_equivalent
    assert found.note == (
        "only 0 of 250 independent items differ from the rest: the interval allows for one more that changed as much "
        "as can be"
    )


def test_where_nearly_all_items_are_gained_the_interval_ends_at_the_exact_bound_of_their_share() -> None:
    found = inferred([1.0] * 60, [0.0] * 58 + [1.0] * 2)
    share_gained = stats.binomtest(58, 60).proportion_ci(method="exact")
    assert found.high == pytest.approx(share_gained.high, abs=0.002)
    assert found.low is not None
    assert found.low < share_gained.low  # those not gained may have been lost, not only kept


def test_items_of_many_sources_of_uneven_size_that_hardly_change_get_an_interval_that_is_of_use() -> None:
    sizes = [4, 2, 2, 2, 2, 2, *[1] * 17]
    units = np.repeat(np.arange(23), sizes).tolist()
    found = inferred([1.0] * 31, [0.0] + [1.0] * 30, units=units)
    assert found.low is not None
    assert found.high is not None
    assert -0.2 < found.low < 0 < found.high < 0.25


def test_an_interval_that_excludes_nothing_is_none_and_says_what_to_do() -> None:
    units = np.repeat(np.arange(12), [30, *[1] * 11]).tolist()
    found = inferred([1.0] * 41, [1.0] * 41, units=units)
    assert (found.low, found.is_equivalent) == (None, None)
    assert found.note == (
        "only 0 of 12 independent items differ from the rest: an interval would exclude nothing of interest; test on "
        "more items"
    )


def test_tasks_without_a_change_are_as_good_as_one_of_as_many_items() -> None:
    same = scored([1.0, 0.0] * 10)
    three = infer([[(same, same)]] * 3, ACCURACY, level=0.95, margin=0.02)
    bound = 1 - 0.025 ** (1 / 60)
    assert (three.low, three.high) == (pytest.approx(-bound, rel=0.02), pytest.approx(bound, rel=0.02))


def test_a_metric_that_is_no_share_gets_no_bound() -> None:
    found = inferred([2.0] * 60, [2.0] * 60, card=MetricCard("loss", share, "nats", higher_is_better=False))
    assert (found.low, found.note) == (
        None,
        "only 0 of 60 independent items differ from the rest: too few for an interval",
    )


def test_a_constant_change_of_a_metric_without_bounds_gives_no_interval() -> None:
    found = inferred([3.0] * 60, [2.0] * 60, card=MetricCard("loss", share, "nats", higher_is_better=False))
    assert (found.low, found.note) == (None, "every resample gives the same difference: no interval")


def changed_by(amounts: FloatArray) -> tuple[list[float], list[float]]:
    return (0.5 + amounts).tolist(), [0.5] * len(amounts)


def test_equivalence_is_the_answer_of_two_one_sided_tests() -> None:
    rng = np.random.default_rng(3)
    for mean, count in ((0.0, 400), (0.012, 400), (0.0, 30), (0.03, 400)):
        amounts = rng.normal(mean, 0.1, count)
        found = inferred(*changed_by(amounts))
        below, above = (
            stats.ttest_1samp(amounts, bound, alternative=side).pvalue
            for bound, side in ((-0.02, "greater"), (0.02, "less"))
        )
        assert abs(np.log(below / 0.05)) > 0.3, "too close to the decision for 500 resamples"
        assert abs(np.log(above / 0.05)) > 0.3, "too close to the decision for 500 resamples"
        assert found.is_equivalent == (below < 0.05 and above < 0.05)
        assert found.nothing_lost == (below < 0.05)


def test_a_loss_of_a_metric_that_is_better_when_lower_is_a_rise() -> None:
    rng = np.random.default_rng(5)
    card = MetricCard("calibration error", share, "share", higher_is_better=False)
    own, base = changed_by(rng.normal(-0.05, 0.05, 200))
    fell, rose = inferred(own, base, card=card), inferred(base, own, card=card)
    assert (fell.is_equivalent, fell.nothing_lost) == (False, True)
    assert (rose.is_equivalent, rose.nothing_lost) == (False, False)


def test_a_metric_in_other_units_is_asked_for_no_equivalence() -> None:
    found = inferred(*changed_by(np.linspace(-0.001, 0.001, 100)), card=MetricCard("loss", share, "nats"))
    assert found.low is not None
    assert (found.is_equivalent, found.nothing_lost) == (None, None)


def test_mcnemar_is_the_binomial_test_of_the_items_that_changed() -> None:
    own, base = [1.0] * 12 + [0.0] * 3 + [1.0, 0.0] * 20, [0.0] * 12 + [1.0] * 3 + [1.0, 0.0] * 20
    assert mcnemar_p_value(scored(own), scored(base)) == pytest.approx(stats.binomtest(3, 15).pvalue)
    assert mcnemar_p_value(scored(base), scored(base)) == 1
    assert mcnemar_p_value(scored([0.5] * 20), scored([1.0] * 20)) is None
    shared = [index // 2 for index in range(20)]
    assert mcnemar_p_value(scored([1.0] * 20, shared), scored([0.0] * 20, shared)) is None


def test_wilsons_interval_is_for_independent_items_that_are_right_or_not() -> None:
    found = wilson(scored([1.0] * 19 + [0.0]), 0.95)
    exact = stats.binomtest(19, 20).proportion_ci(method="wilson")
    assert found == (pytest.approx(exact.low), pytest.approx(exact.high))
    assert wilson(scored([0.3] * 20), 0.95) is None
    assert wilson(scored([1.0] * 20, [index // 2 for index in range(20)]), 0.95) is None


def test_percentiles_expand_to_the_width_of_the_t_interval() -> None:
    normal = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    low, high = expanded_percentiles(normal * np.sqrt(9 / 10), 9, float(np.sqrt(10 / 9)), 0.95)
    assert (low, high) == (
        pytest.approx(-stats.t.ppf(0.975, 9), abs=0.01),
        pytest.approx(stats.t.ppf(0.975, 9), abs=0.01),
    )


def test_degrees_of_freedom_are_those_of_welch() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(0, 1, 12), rng.normal(0, 3, 20)
    variances = np.array([one.var(ddof=1) / 12, other.var(ddof=1) / 20])
    welch = stats.ttest_ind(one, other, equal_var=False)
    assert degrees_of_freedom(variances, np.array([11.0, 19.0])) == pytest.approx(welch.df)
    assert degrees_of_freedom(np.zeros(2), np.array([11.0, 19.0])) == 11
