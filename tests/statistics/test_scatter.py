import numpy as np
import pytest
from scipy import stats

from spillover.statistics.gaffke import gaffke, widened
from spillover.statistics.resampled import half_widths
from spillover.statistics.scatter import scatter_of_seeds, seed_noise, seeds_needed

VALUES = np.array([0.1, 0.3, 0.2])


def test_seeds_without_noise_of_items_have_the_error_of_their_mean() -> None:
    found = scatter_of_seeds(VALUES, np.repeat(VALUES[:, None], 50, axis=1))
    assert (found.error, found.freedom) == (pytest.approx(0.1 / np.sqrt(3)), 2)


def test_half_of_the_noise_of_items_is_taken_off() -> None:
    rng = np.random.default_rng(0)
    replicates = VALUES[:, None] + rng.normal(0, 0.08, (3, 200_000))
    # Variance over seeds 0.01, of which 0.0064 could be items.
    assert scatter_of_seeds(VALUES, replicates).error == pytest.approx(np.sqrt((0.01 - 0.0032) / 3), rel=0.01)


def test_noise_that_all_seeds_share_is_not_taken_off() -> None:
    shared = np.random.default_rng(1).normal(0, 0.5, 2000)
    assert scatter_of_seeds(VALUES, VALUES[:, None] + shared).error == pytest.approx(0.1 / np.sqrt(3))


def test_seeds_that_are_all_alike_or_vary_less_than_items_add_nothing() -> None:
    noisy = np.random.default_rng(2).normal(0, 0.5, (3, 2000))
    assert scatter_of_seeds(np.full(3, 0.2), noisy).error == 0
    assert scatter_of_seeds(VALUES, VALUES[:, None] + noisy).error == 0


def test_drawn_seeds_have_students_t_and_vary_together() -> None:
    values = np.stack([VALUES, -2 * VALUES])
    exact = np.repeat(values[:, :, None], 100_000, axis=2)
    noise = seed_noise(values, exact, np.random.default_rng(3))
    assert noise[1] == pytest.approx(-2 * noise[0])
    for level in (0.75, 0.95):
        expected = stats.t.ppf((1 + level) / 2, 2) * 0.1 / np.sqrt(3)
        assert np.quantile(np.abs(noise[0]), level) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(("value", "deviation", "item_error"), [(0.1, 0.05, 0.03), (0.1, 0.1, 0.0), (0.3, 0.05, 0.1)])
def test_the_seeds_needed_are_the_fewest_that_exclude_zero(value: float, deviation: float, item_error: float) -> None:
    needed = seeds_needed(value, deviation, item_error)
    assert needed is not None
    halves = [np.hypot(item_error, stats.t.ppf(0.975, n - 1) * deviation / np.sqrt(n)) for n in range(2, needed + 1)]
    assert halves[-1] < value
    assert all(half >= value for half in halves[:-1])


def test_no_number_of_seeds_helps_where_items_do_not_suffice() -> None:
    assert seeds_needed(0.1, 0.01, 0.1) is None
    assert seeds_needed(0.001, 1.0, 0.0) is None


@pytest.mark.parametrize("deviation", [0.0, 0.04, 0.08])
def test_two_seeds_hold_the_truth_too(deviation: float) -> None:
    """Answers gained and lost alike, more of the ones or the others by seed: the mean over two seeds is off by both."""
    generator, worlds, count, held = np.random.default_rng(4), 300, 250, 0
    for _ in range(worlds):
        luck = generator.normal(0, deviation, (2, 1)).clip(-0.2, 0.2)
        draws = generator.random((2, count))
        changes = (draws < 0.1 + luck / 2).astype(float) - (draws > 0.9 + luck / 2)
        scatter = scatter_of_seeds(changes.mean(axis=1), np.zeros((2, 10)))
        items = gaffke(changes.mean(axis=0), np.full(count, 1 / count), lowest=-1.0, highest=1.0)
        low, high = widened(items, half_widths(scatter.error, scatter.freedom)).interval(0.95)
        held += low <= 0 <= high
    assert held / worlds >= 0.93 - 2.6 * np.sqrt(0.05 * 0.95 / worlds)
