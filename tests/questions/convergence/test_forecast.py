import numpy as np
import pytest

from spillover.questions.convergence.forecast import LEAST_FAMILIES, forecast, ridge

FAMILIES = np.repeat(np.arange(10), 3)
"""The stated design: ten families of three tasks, four features, of which the first tells, and families that differ."""


def drawn(generator, families=FAMILIES, *, told=0.2, of_family=0.1, of_task=0.12, feature_count=4):
    count = int(families.max()) + 1
    own, shared = (generator.normal(size=(size, feature_count)) for size in (len(families), count))
    features = 0.7 * own + 0.7 * shared[families]
    noise = of_family * generator.normal(size=count)[families] + of_task * generator.normal(size=len(families))
    return features, told * features[:, 0] + noise


def found(features, actual, families=FAMILIES, resample_count=200):
    return forecast(features, actual, families, level=0.95, resample_count=resample_count)


def test_a_ridge_by_hand():
    # One feature of -1, 1 with the values 0, 2: the least-squares slope of 1 is shrunk by n / (n + 1) = 2 / 3.
    predicted = ridge(np.array([[-1.0], [1.0]]), np.array([0.0, 2.0]), np.array([[3.0]]))
    assert predicted == pytest.approx([1 + 3 * 2 / 3])


def test_units_and_shifts_of_features_change_nothing():
    features, actual = drawn(np.random.default_rng(0))
    one = ridge(features[:20], actual[:20], features[20:])
    moved = 1e-3 * features + 5
    assert ridge(moved[:20], actual[:20], moved[20:]) == pytest.approx(one)
    constant = np.column_stack([features, np.full(30, 0.3)])
    assert ridge(constant[:20], actual[:20], constant[20:]) == pytest.approx(one)
    assert ridge(np.ones((20, 1)), actual[:20], np.ones((2, 1))) == pytest.approx([actual[:20].mean()] * 2)


def test_a_family_is_predicted_without_any_of_its_own_scores():
    features, actual = drawn(np.random.default_rng(1))
    before = found(features, actual).predicted
    actual[:3] += 100
    after = found(features, actual).predicted
    assert after[:3] == pytest.approx(before[:3])
    assert after[3:] != pytest.approx(before[3:])


def test_the_null_is_the_mean_of_the_familys_others_and_of_all_others_for_an_only_task():
    actual = np.array([1.0, 3.0, 5.0, 10.0])
    result = found(np.zeros((4, 1)), actual, np.array([0, 0, 0, 1]))
    # Off by 3, 0 and 3 of the means 4, 3 and 2, and by 7 of the mean 3.
    assert result.null_error == pytest.approx((3 + 0 + 3 + 7) / 4)
    assert (result.low, result.half_width, result.is_better) == (None, None, False)


def test_what_tells_much_is_shown_to_be_better_and_what_tells_nothing_is_not():
    generator = np.random.default_rng(2)
    assert found(*drawn(generator, told=0.5, of_family=0.02, of_task=0.02)).is_better
    better = [found(*drawn(generator, told=0.0)).is_better for _ in range(40)]
    assert np.mean(better) <= 0.05


def test_there_is_no_interval_below_ten_families():
    families = FAMILIES[FAMILIES < LEAST_FAMILIES - 1]
    result = found(*drawn(np.random.default_rng(0), families), families)
    assert (result.low, result.high, result.half_width) == (None, None, None)


def coverage(studies, feature_count):
    """Return how often a task of a new family lies within the interval, over drawn studies."""
    generator, inside = np.random.default_rng(feature_count), []
    every = np.repeat(np.arange(11), 3)
    for _ in range(studies):
        features, actual = drawn(generator, every, feature_count=feature_count)
        is_new = every == 10
        result = found(features[~is_new], actual[~is_new], resample_count=20)
        predicted = ridge(features[~is_new], actual[~is_new], features[is_new])
        inside.append((np.abs(actual[is_new] - predicted) <= result.half_width).mean())
    return np.mean(inside)


def test_intervals_hold_about_95_of_100_tasks_of_new_families():
    assert 0.91 <= coverage(150, 4) <= 0.99


@pytest.mark.long
@pytest.mark.parametrize("feature_count", [4, 5])
def test_intervals_hold_93_to_97_of_100_tasks_of_new_families(feature_count):
    assert 0.93 <= coverage(3000, feature_count) <= 0.97
