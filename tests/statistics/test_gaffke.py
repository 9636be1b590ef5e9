"""Whether Gaffke's ends are the exact ones where there are any, and their tails those of the definition elsewhere."""

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr

from spillover.records import FloatArray
from spillover.statistics.gaffke import DEPTHS, Confidence, combined, gaffke, widened
from tests.analysis.exact_tail import exact_tail

Pattern = tuple[str, FloatArray, FloatArray]
"""Name, values and weights."""


def equal(count: int) -> FloatArray:
    return np.full(count, 1 / count)


def of_sizes(*sizes: float) -> FloatArray:
    return np.array(sizes) / sum(sizes)


def changed(count: int, lost: int, gained: int = 0) -> FloatArray:
    return np.array([-1.0] * lost + [1.0] * gained + [0.0] * (count - lost - gained))


def told(values: FloatArray, weights: FloatArray | None = None) -> Confidence:
    return gaffke(values, equal(len(values)) if weights is None else weights, lowest=-1.0, highest=1.0)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
@pytest.mark.parametrize("count", [10, 16, 32, 250, 1000])
@pytest.mark.parametrize("right", [0, 1, 2, 5, 9])
def test_the_ends_of_a_share_are_those_of_clopper_and_pearson(count: int, right: int, level: float) -> None:
    found = gaffke(changed(count, 0, right), equal(count), lowest=0.0, highest=1.0).interval(level)
    exact = stats.binomtest(right, count).proportion_ci(level, method="exact")
    value = right / count
    assert value - found[0] == pytest.approx(value - exact.low, rel=0.015)
    assert found[1] - value == pytest.approx(exact.high - value, rel=0.015)


@pytest.mark.parametrize(
    ("count", "gained", "lost"),
    [(20, 6, 3), (100, 12, 3), (250, 25, 20), (250, 1, 0), (40, 0, 14), (1000, 60, 8), (100, 9, 9), (300, 5, 50)],
)
def test_the_p_value_of_right_and_wrong_answers_is_exact_mcnemars(count: int, gained: int, lost: int) -> None:
    exact = stats.binomtest(gained, gained + lost).pvalue
    assert told(changed(count, lost, gained)).p_value == pytest.approx(exact, rel=0.05)


def test_the_p_value_is_as_good_far_out() -> None:
    for gained, lost in ((0, 33), (2, 44), (10, 62)):  # 1e-8 to 2e-10
        exact = stats.binomtest(gained, gained + lost).pvalue
        assert told(changed(250, lost, gained)).p_value == pytest.approx(exact, rel=0.085)


def patterns() -> Iterator[Pattern]:
    draw = np.random.default_rng(0)
    for count in (10, 16, 24, 100, 250):
        for lost in (0, 1, 3, 8):
            for gained in (0, 1, 20):
                if lost + gained <= count:
                    yield f"{lost} lost, {gained} gained of {count}", changed(count, lost, gained), equal(count)
        text = np.clip(draw.beta(1, 4, count) + 0.5 * (draw.beta(1, 6, count) - 1 / 7), 0, 1) - draw.beta(1, 4, count)
        fallen = np.where(draw.random(count) < 0.06, -0.5, draw.normal(0, 0.02, count))
        yield f"{count} scores of text", text, equal(count)
        yield f"{count} scores, a few fallen", fallen, equal(count)
        yield f"{count} equal scores", np.full(count, 0.3), equal(count)
    for count in (12, 30, 100):
        for name, sizes in (("zipf", 1 / np.arange(1, count + 1)), ("giant", np.append(count, np.ones(count - 1)))):
            yield f"{count} {name} sources", draw.normal(0, 0.1, count).clip(-1, 1), of_sizes(*sizes)
            yield f"{count} {name} sources, a few lost", -1.0 * (draw.random(count) < 0.05), of_sizes(*sizes)
    yield "100 lost, 100 gained of 1000", changed(1000, 100, 100), equal(1000)
    yield "2 lost of 1000", changed(1000, 2), equal(1000)


def ratios(pattern: Pattern, depths: FloatArray) -> list[float]:
    """Return each tail at both ends divided by the exact one, where the end is not the worst there can be."""
    _, values, weights = pattern
    found, count = told(values, weights), len(values)
    imagined = count * float(weights @ weights)
    made = []
    for side, distances, worst in ((1, found.below, -1.0), (-1, found.above, 1.0)):
        for depth, distance in zip(depths, np.interp(depths, DEPTHS, distances), strict=True):
            if abs(found.value - side * distance) > 1 - 1e-9:
                continue
            pulls = np.append(count * weights * (values - found.value), imagined * (worst - found.value))
            distinct, counts = np.unique((side * pulls + distance).round(13), return_counts=True)
            made.append(float(ndtr(-depth)) / exact_tail(distinct, counts.astype(np.float64)))
    return made


@pytest.mark.parametrize("pattern", list(patterns()), ids=lambda pattern: pattern[0])
def test_tails_are_as_near_the_exact_ones_as_is_said(pattern: Pattern) -> None:
    near, far = (ratios(pattern, np.array(depths)) for depths in ((0.5, 1.0, 1.65, 1.96, 2.5, 3.0), (4.0, 6.4, 7.9)))
    assert all(0.94 < ratio < 1.06 for ratio in near), near
    assert all(0.92 < ratio < 1.08 for ratio in far), far


@pytest.mark.parametrize(
    ("values", "weights"),
    [
        (np.array([*[0.0] * 14, -0.5, 0.25, 0.3, -0.1]), equal(18)),
        (np.array([-1.0, *[0.0] * 22]), of_sizes(4, 2, 2, 2, 2, 2, *[1] * 17)),
        (np.linspace(-0.6, 0.9, 12), of_sizes(*range(1, 13))),
    ],
)
def test_the_ends_are_quantiles_of_the_mean_with_one_imagined_unit(values: FloatArray, weights: FloatArray) -> None:
    draw, count = np.random.default_rng(1), len(values)
    own, imagined = draw.exponential(size=(200_000, count)), draw.exponential(size=200_000)
    heavy, value = count * float(weights @ weights), float(weights @ values)
    found = told(values, weights)
    for level in (0.9, 0.99):
        # Each weight times how far its unit is from the mean, over the sum of the exponential numbers.
        pull = own @ (count * weights * (values - value))
        low, high = ((pull + imagined * heavy * (worst - value)) / (own.sum(axis=1) + imagined) for worst in (-1, 1))
        expected = value + np.quantile(low, (1 - level) / 2), value + np.quantile(high, (1 + level) / 2)
        for end, exact in zip(found.interval(level), expected, strict=True):
            assert abs(end - value) == pytest.approx(abs(np.clip(exact, -1, 1) - value), rel=0.02)


def test_the_bound_is_that_of_learned_miller_and_thomas_which_is_over_order_statistics() -> None:
    values = np.sort([*[0.0] * 14, -0.5, 0.25, 0.3, -0.1])
    uniform = np.sort(np.random.default_rng(1).uniform(size=(100_000, len(values))), axis=1)
    upper = float(np.quantile(1 - uniform @ np.diff([*values, 1.0]), 0.975))
    assert told(values).upper(0.975) == pytest.approx(upper, rel=0.015)


def test_negated_values_have_the_mirrored_ends() -> None:
    draw = np.random.default_rng(2)
    values, weights = draw.uniform(-1, 1, 20), of_sizes(*draw.uniform(0.5, 3, 20))
    one, other = told(values, weights), told(-values, weights)
    assert one.below == pytest.approx(other.above)
    assert one.above == pytest.approx(other.below)
    assert one.p_value == pytest.approx(other.p_value)


def test_the_order_of_units_is_of_no_matter() -> None:
    draw = np.random.default_rng(3)
    values, weights, order = draw.uniform(-1, 1, 30), of_sizes(*draw.uniform(0.5, 3, 30)), draw.permutation(30)
    one, other = told(values, weights), told(values[order], weights[order])
    assert one.below == pytest.approx(other.below)
    assert one.above == pytest.approx(other.above)


@pytest.mark.parametrize("pattern", list(patterns()), ids=lambda pattern: pattern[0])
def test_ends_rise_with_the_level_and_stay_within_bounds(pattern: Pattern) -> None:
    found = told(*pattern[1:])
    for distances in (found.below, found.above):
        assert (np.diff(distances) >= 0).all()
        assert (distances >= 0).all()
    assert found.value - found.below[-1] >= -1 - 1e-12
    assert found.value + found.above[-1] <= 1 + 1e-12


def test_a_worse_value_never_raises_an_end() -> None:
    values = np.random.default_rng(4).uniform(-0.9, 0.9, 15)
    before = told(values).interval(0.95)
    for index in range(15):
        worse = values.copy()
        worse[index] -= 0.1
        after = told(worse).interval(0.95)
        assert after[0] < before[0]
        assert after[1] < before[1]


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_a_handful_of_unchanged_units_has_the_exact_ends(count: int) -> None:
    for level in (0.5, 0.9, 0.95, 0.99):
        bound = 1 - ((1 - level) / 2) ** (1 / count)
        low, high = told(np.zeros(count)).interval(level)
        assert high == pytest.approx(bound, rel=0.02)
        assert low == pytest.approx(-bound, rel=0.02)


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_ends_that_few_units_cannot_tell_are_the_worst_there_can_be(count: int) -> None:
    found = told(changed(count, count - 1, 1))
    assert found.value - found.below[-1] == pytest.approx(-1, abs=1e-6)
    # One unit at the best, and none is ever seen to exclude that the truth is nearly the worst.
    assert found.lower(1 - 1e-15) == pytest.approx(-1, abs=1e-4)


@pytest.mark.parametrize("count", [2, 12, 250])
def test_values_that_are_all_the_worst_leave_nothing_below(count: int) -> None:
    found = told(np.full(count, -1.0))
    assert found.interval(0.95)[0] == -1
    assert found.interval(0.95)[1] == pytest.approx(1 - 2 * 0.025 ** (1 / count), rel=0.015, abs=0.015)
    assert found.tail(-1.0) == 0.5


def test_a_lighter_imagined_unit_moves_the_ends_in() -> None:
    values, weights = changed(20, 2, 1), equal(20)
    light = gaffke(values, weights, lowest=-1.0, highest=1.0, imagined=0.1)
    assert (light.below[1:] < told(values).below[1:]).all()
    assert (light.above[1:] < told(values).above[1:]).all()


STRAIGHT = Confidence(0.1, 0.02 * DEPTHS, 0.03 * DEPTHS)
OTHER = Confidence(-0.2, 0.04 * DEPTHS, 0.01 * DEPTHS)


def test_tasks_are_combined_by_mover() -> None:
    both = combined([STRAIGHT, OTHER], [0.5, -2.0])
    z = stats.norm.ppf(0.975)
    assert both.value == pytest.approx(0.45)
    # A part that is taken off brings its upper distance to the lower end.
    low, high = both.interval(0.95)
    assert both.value - low == pytest.approx(z * np.hypot(0.5 * 0.02, 2 * 0.01))
    assert high - both.value == pytest.approx(z * np.hypot(0.5 * 0.03, 2 * 0.04))


def test_another_reason_to_be_off_is_added_in_quadrature() -> None:
    wide = widened(STRAIGHT, 0.04 * DEPTHS)
    assert wide.below == pytest.approx(np.hypot(0.02, 0.04) * DEPTHS)
    assert wide.above == pytest.approx(np.hypot(0.03, 0.04) * DEPTHS)


def test_levels_tails_and_p_values_are_read_off_the_same_ends() -> None:
    for level in (0.6, 0.95, 1 - 1e-9):
        low = STRAIGHT.lower(level)
        assert STRAIGHT.tail(low) == pytest.approx(1 - level, rel=1e-6)
    assert STRAIGHT.p_value == pytest.approx(2 * stats.norm.sf(0.1 / 0.02))
    assert Confidence(0.0, DEPTHS, DEPTHS).p_value == 1
    with pytest.raises(ValueError, match="lies between 0 and 1, got 1"):
        STRAIGHT.interval(1.0)
