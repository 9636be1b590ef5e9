"""Whether intervals hold the truth as often as they say, and tests find no more than they may, in simulated studies.

Design points: at least 100 items, or at least 10 sources; three to five seeds. The short tier tries fewer worlds and
allows for that; `make test-long` tries enough to hold 93 to 97 %.
"""

import numpy as np
import pytest

from spillover.analysis.paired import resample_counts
from spillover.analysis.seeds import half_width, resampled_levels
from spillover.records import Cell
from tests.analysis.simulated import Draw, binary, clustered, overlap, worlds

SHORT, LONG = 500, 5000
DESIGNS: dict[str, tuple[list[Draw], float, int]] = {
    "100 items, a gain": ([binary(100, 0.15, 0.05)], 0.10, 1),
    "100 items, no difference": ([binary(100, 0.1, 0.1)], 0.0, 1),
    "250 items, no difference": ([binary(250, 0.1, 0.1)], 0.0, 1),
    "250 items, a loss": ([binary(250, 0.04, 0.10)], -0.06, 1),
    "100 skewed overlaps, a gain": ([overlap(100, 0.03)], 0.03, 1),
    "10 sources of 10 items, no difference": ([clustered(10, 10)], 0.0, 10),
    "20 sources of 5 items, no difference": ([clustered(20, 5)], 0.0, 5),
    "three tasks of 10 sources, no difference": ([clustered(10, 10)] * 3, 0.0, 10),
    "three tasks of other sizes and metrics": (
        [binary(100, 0.1, 0.1), binary(250, 0.2, 0.05), overlap(100, 0)],
        0.05,
        1,
    ),
}


def check(name: str, count: int) -> None:
    draws, truth, size = DESIGNS[name]
    found = worlds(draws, truth, count=count, size=size)
    error = 2.6 * np.sqrt(0.05 * 0.95 / count)  # 99 % of simulations stay within
    short = error if count < LONG else 0.0
    assert 0.93 - short <= found.covered <= 0.97 + short
    assert found.without == 0
    if truth == 0:
        assert found.significant <= 0.05 + error
        assert found.mcnemar <= 0.05  # exact: at most, whatever the luck


@pytest.mark.parametrize(
    "name", ["100 items, a gain", "100 items, no difference", "three tasks of 10 sources, no difference"]
)
def test_intervals_cover_and_tests_hold_their_level(name: str) -> None:
    check(name, SHORT)


@pytest.mark.long
@pytest.mark.parametrize("name", DESIGNS)
def test_intervals_cover_and_tests_hold_their_level_in_many_worlds(name: str) -> None:
    check(name, LONG)


@pytest.mark.long
@pytest.mark.parametrize(("count", "gained", "lost"), [(16, 0.1, 0.3), (24, 0.2, 0.2), (32, 0.15, 0.15), (32, 0, 0.3)])
def test_few_items_are_covered_whether_few_or_many_of_them_change(count: int, gained: float, lost: float) -> None:
    found = worlds([binary(count, gained, lost)], gained - lost, count=1500)
    assert found.covered >= 0.93
    assert found.without == 0


def test_the_interval_of_few_changes_covers_and_shows_equivalence_where_items_are_many() -> None:
    rare, truth = binary(1000, 0.003, 0.001), 0.002
    found = worlds([rare], truth, count=100, resample_count=50)
    assert found.covered >= 0.95
    assert found.equivalent >= 0.9


def test_a_loss_as_large_as_the_margin_is_called_equivalent_at_most_once_in_twenty() -> None:
    found = worlds([binary(1000, 0.02, 0.04)], -0.02, count=400, resample_count=400)
    assert found.equivalent <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 400)


SEEDS = [(3, 1, 0.0), (3, 1, 0.03), (3, 1, 0.2), (5, 1, 0.05), (1, 5, 0.05)]
"""Training seeds, demonstration seeds, and the deviation that the one of several has."""


def seeds_cover(training: int, shown: int, deviation: float, count: int) -> float:
    generator, n = np.random.default_rng(1), 100
    cells = [Cell("task", 1, 2, seed) for seed in range(shown)]
    counts = [resample_counts(n, seed=turn, resample_count=1000) for turn in range(7)]
    held = 0
    for world in range(count):
        shape = (training, shown, 1)
        luck = generator.normal(0, deviation, shape) if deviation else np.zeros(shape)
        items = generator.normal(0, 0.3, n) + luck + generator.normal(0, 0.3, (training, shown, n))
        replicates = np.einsum("skn,bn->skb", items, counts[world % 7]) / n
        levels = resampled_levels(cells, items.mean(axis=2), replicates, [n] * shown, generator)
        held += abs(items.mean()) <= half_width(levels, 0.95)
    return held / count


@pytest.mark.parametrize("design", [SEEDS[0], SEEDS[2]])
def test_intervals_over_few_seeds_cover(design: tuple[int, int, float]) -> None:
    error = 2.6 * np.sqrt(0.05 * 0.95 / SHORT)
    assert 0.93 - error <= seeds_cover(*design, SHORT) <= 0.97 + error


@pytest.mark.long
@pytest.mark.parametrize("design", SEEDS)
def test_intervals_over_few_seeds_cover_in_many_worlds(design: tuple[int, int, float]) -> None:
    assert 0.93 <= seeds_cover(*design, LONG) <= 0.97
