import numpy as np
import pytest
from scipy import stats

from spillover.records import FloatArray, MetricCard
from spillover.statistics.cells import ResampledScore
from spillover.statistics.gaffke import gaffke
from spillover.statistics.inference import Scatter, infer, single, weighted_sum, wilson
from spillover.statistics.paired import resample_counts
from tests.analysis.bootstrap import resampled_values
from tests.analysis.made_scores import share

ACCURACY = MetricCard("accuracy", share, "share")
LOSS = MetricCard("loss", share, "nats", higher_is_better=False)


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
    assert (found.low, found.high) == (pytest.approx(-bound, rel=0.015), pytest.approx(bound, rel=0.015))
    assert (found.p_value, found.is_equivalent, found.nothing_lost, found.note) == (1, True, True, "")
    assert found.largest_loss == pytest.approx(1 - 0.05 ** (1 / 250), rel=0.015)


def test_where_nearly_all_items_are_gained_the_interval_ends_at_the_exact_bound_of_their_share() -> None:
    found = inferred([1.0] * 60, [0.0] * 58 + [1.0] * 2)
    share_gained = stats.binomtest(58, 60).proportion_ci(method="exact")
    assert found.high == pytest.approx(share_gained.high, abs=0.001)
    assert found.low is not None
    assert found.low < share_gained.low  # those not gained may have been lost, not only kept


def test_items_of_many_sources_of_uneven_size_that_hardly_change_get_an_interval_that_is_of_use() -> None:
    sizes = [4, 2, 2, 2, 2, 2, *[1] * 17]
    units = np.repeat(np.arange(23), sizes).tolist()
    found = inferred([1.0] * 31, [0.0] + [1.0] * 30, units=units)
    assert found.low is not None
    assert found.high is not None
    assert -0.25 < found.low < 0 < found.high < 0.25
    assert found.note == (
        "the change is spread over 1 of 23 sources: the interval allows for one more that changed as much as can be"
    )


def test_an_interval_that_excludes_nothing_is_none_and_says_what_to_do() -> None:
    units = np.repeat(np.arange(12), [30, *[1] * 11]).tolist()
    found = inferred([1.0] * 41, [1.0] * 41, units=units)
    assert (found.low, found.is_equivalent) == (None, None)
    assert found.note == "12 independent items: an interval would exclude nothing of interest; test on more items"


def test_sources_that_all_change_have_the_wider_of_the_ends_of_items_and_of_random_signs() -> None:
    rng = np.random.default_rng(4)
    shared = np.repeat(rng.normal(0, 0.15, 40), 5)
    items, units = (shared + rng.normal(0, 0.05, 200)).clip(-0.5, 0.5), np.repeat(np.arange(40), 5)
    found = inferred(*changed_by(items), units=units.tolist())
    means = items.reshape(40, 5).mean(axis=1)
    exact = stats.ttest_1samp(means, 0).confidence_interval()
    assert (found.low, found.high, found.note) == (
        pytest.approx(exact.low, rel=0.25),
        pytest.approx(exact.high, rel=0.25),
        "",
    )
    assert found.low < exact.low + 0.005
    assert found.high > exact.high - 0.005


def test_tasks_are_combined_by_mover() -> None:
    one, other = scored([1.0, 0.0] * 10), scored([1.0, 0.0] * 30)
    lost = scored([0.0] * 4 + [1.0, 0.0] * 28)
    parts = [infer([[pair]], ACCURACY, level=0.95, margin=0.02) for pair in ((one, one), (lost, other))]
    both = infer([[(one, one)], [(lost, other)]], ACCURACY, level=0.95, margin=0.02)
    middle = lost.value / 2 - other.value / 2
    halves = [
        0.5 * np.hypot(*(getattr(part, side) - shift for part, shift in zip(parts, (0, 2 * middle), strict=True)))
        for side in ("low", "high")
    ]
    assert (both.low, both.high) == pytest.approx((middle - halves[0], middle + halves[1]), rel=1e-4)


def test_cells_of_one_task_are_added_item_by_item() -> None:
    up, down = [1.0] * 30 + [0.0] * 30, [0.0] * 30 + [1.0] * 30
    opposite = infer([[(scored(up), scored(down)), (scored(down), scored(up))]], ACCURACY, level=0.95, margin=0.02)
    none = infer([[(scored(up), scored(up))]], ACCURACY, level=0.95, margin=0.02)
    # What one cell gains the other loses: item by item nothing changed.
    assert (opposite.low, opposite.high) == (pytest.approx(none.low), pytest.approx(none.high))


def test_a_metric_that_is_no_share_gets_no_bound() -> None:
    found = inferred([2.0] * 60, [2.0] * 60, card=LOSS)
    assert (found.low, found.p_value, found.nothing_lost) == (None, None, None)
    assert found.note == "the change is spread over 0 of 60 independent items: too few for an interval"


def test_jitter_does_not_hide_that_a_change_without_bounds_rests_on_one_item() -> None:
    amounts = np.random.default_rng(1).normal(0, 0.001, 60)
    amounts[7] = 5.0
    found = inferred((2 + amounts).tolist(), [2.0] * 60, card=LOSS)
    assert found.note == "the change is spread over 1 of 60 independent items: too few for an interval"


def test_a_constant_change_of_a_metric_without_bounds_gives_no_interval() -> None:
    found = inferred([3.0] * 60, [2.0] * 60, card=LOSS)
    assert found.low is None
    assert found.note == "every resample gives the same difference: no interval"


def test_a_grade_that_nearly_every_item_loses_is_lost() -> None:
    found = inferred([7.0] * 195 + [8.0] * 5, [8.0] * 200, card=MetricCard("grade", share, "grade"))
    assert found.high is not None
    assert found.high < -0.9
    assert found.p_value is not None
    assert found.p_value < 1e-6


def test_a_metric_without_bounds_has_the_t_interval_and_its_test() -> None:
    amounts = np.random.default_rng(2).normal(0.03, 0.1, 60)
    found = inferred((2 + amounts).tolist(), [2.0] * 60, card=LOSS)
    exact = stats.ttest_1samp(amounts, 0)
    ends = exact.confidence_interval()
    assert (found.low, found.high) == (pytest.approx(ends.low, abs=0.006), pytest.approx(ends.high, abs=0.006))
    assert found.p_value == pytest.approx(exact.pvalue, rel=0.35)
    assert found.note == "from resamples of the items"


def changed_by(amounts: FloatArray) -> tuple[list[float], list[float]]:
    return (0.5 + amounts).tolist(), [0.5] * len(amounts)


def test_equivalence_is_the_answer_of_two_one_sided_tests() -> None:
    rng = np.random.default_rng(3)
    for mean, count in ((0.0, 800), (0.012, 800), (0.0, 30), (0.03, 800)):
        amounts = rng.normal(mean, 0.1, count).clip(-0.5, 0.5)
        found = inferred(*changed_by(amounts))
        ends = gaffke(amounts, np.full(count, 1 / count), lowest=-1.0, highest=1.0)
        assert found.is_equivalent == (ends.tail(-0.02) < 0.05 and ends.tail(0.02) < 0.05 and abs(ends.value) < 0.02)
        assert found.nothing_lost == (ends.value > -0.02 and ends.tail(-0.02) < 0.05)
        assert found.largest_loss == pytest.approx(-ends.lower(0.95))
    assert found.nothing_lost
    assert not found.is_equivalent


def test_a_loss_of_a_metric_that_is_better_when_lower_is_a_rise() -> None:
    rng = np.random.default_rng(5)
    card = MetricCard("calibration error", share, "share", higher_is_better=False)
    own, base = changed_by(rng.normal(-0.05, 0.05, 400))
    fell, rose = inferred(own, base, card=card), inferred(base, own, card=card)
    assert (fell.is_equivalent, fell.nothing_lost) == (False, True)
    assert (rose.is_equivalent, rose.nothing_lost) == (False, False)


@pytest.mark.parametrize(("unit", "scale"), [("points", 100.0), ("nats", 1.0), ("correlation", 1.0)])
def test_a_margin_is_taken_in_the_unit_of_the_metric(unit: str, scale: float) -> None:
    card = MetricCard("made", share, unit)
    small, large = (np.random.default_rng(6).normal(mean, 0.03, 200) * scale for mean in (-0.005, -0.03))
    kept, lost = (inferred((3 + own).tolist(), [3.0] * 200, card=card) for own in (small, large))
    assert (kept.nothing_lost, lost.nothing_lost) == (True, False)
    assert kept.largest_loss == pytest.approx(0.005 * scale, abs=0.01 * scale)


def test_a_squared_distance_is_bounded_by_two() -> None:
    values = np.random.default_rng(7).uniform(0, 2, 50).round(3)
    found = inferred(values.tolist(), [0.5] * 50, card=MetricCard("Brier score", share, "squared distance", False))
    expected = gaffke(values - 0.5, np.full(50, 0.02), lowest=-2.0, highest=2.0).interval(0.95)
    assert (found.low, found.high) == pytest.approx(expected)


@pytest.mark.parametrize(("gained", "lost"), [(12, 3), (0, 20), (9, 9), (1, 0)])
def test_the_p_value_of_right_and_wrong_items_is_exact_mcnemars(gained: int, lost: int) -> None:
    same = [1.0, 0.0] * 20
    found = inferred([1.0] * gained + [0.0] * lost + same, [0.0] * gained + [1.0] * lost + same)
    assert found.p_value == pytest.approx(stats.binomtest(gained, gained + lost).pvalue, rel=0.06)


def test_a_p_value_is_one_less_the_largest_level_that_excludes_zero() -> None:
    own, base = [1.0] * 14 + [0.0] * 4 + [1.0, 0.0] * 20, [0.0] * 14 + [1.0] * 4 + [1.0, 0.0] * 20
    p_value = inferred(own, base).p_value
    assert p_value is not None
    for level, excludes in ((1 - p_value - 0.005, True), (1 - p_value + 0.005, False)):
        found = infer([[(scored(own), scored(base))]], ACCURACY, level=level, margin=0.02)
        assert (found.low is not None and found.low > 0) is excludes


def test_seeds_widen_an_interval_in_quadrature_however_much_they_disagree() -> None:
    own, base = scored([1.0] * 14 + [0.0] * 4 + [1.0, 0.0] * 41), scored([0.0] * 14 + [1.0] * 4 + [1.0, 0.0] * 41)
    alone, over = (
        infer([[(own, base)]], ACCURACY, level=0.95, margin=0.02, scatter=scatter)
        for scatter in ((), (Scatter(0.03, 2.0),))
    )
    middle, seeds = own.value - base.value, 0.03 * stats.t.ppf(0.975, 2)
    assert middle - over.low == pytest.approx(np.hypot(middle - alone.low, seeds), rel=0.005)
    assert over.high - middle == pytest.approx(np.hypot(alone.high - middle, seeds), rel=0.005)
    apart = infer([[(own, base)]], ACCURACY, level=0.95, margin=0.02, scatter=[Scatter(0.2, 2.0)])
    assert (apart.low is not None, apart.is_equivalent, apart.note) == (True, False, "")


def test_a_score_by_itself_has_clopper_and_pearsons_interval() -> None:
    found = single(scored([1.0] * 30 + [0.0] * 10), "share")
    assert found is not None
    exact = stats.binomtest(30, 40).proportion_ci(method="exact")
    assert found.interval(0.95) == (pytest.approx(exact.low, abs=0.003), pytest.approx(exact.high, abs=0.003))


def test_a_sum_of_a_metric_whose_values_leave_its_bounds_is_resampled() -> None:
    score = scored(np.linspace(0, 1.2, 40).tolist())
    found, note = weighted_sum([[(1.0, score)]], unit="share")
    assert (found is not None, note) == (True, "from resamples of the items")


def test_wilsons_interval_is_for_independent_items_that_are_right_or_not() -> None:
    found = wilson(scored([1.0] * 19 + [0.0]), 0.95)
    exact = stats.binomtest(19, 20).proportion_ci(method="wilson")
    assert found == (pytest.approx(exact.low), pytest.approx(exact.high))
    assert wilson(scored([0.3] * 20), 0.95) is None
    assert wilson(scored([1.0] * 20, [index // 2 for index in range(20)]), 0.95) is None
