"""Whether intervals hold the truth as often as they say, and tests find no more than they may, in simulated studies.

The short tier tries fewer worlds and allows for that. `make test-long` tries enough, and prints (`-s`) each design with
the figures of earlier versions (`tests.analysis.former`) after the bar.
"""

import numpy as np
import pytest

from spillover.statistics.inference import infer
from tests.analysis.simulated import (
    ACCURACY,
    HEADER,
    MARGIN,
    RESAMPLE_COUNT,
    Outcome,
    Task,
    allowance,
    close_text,
    error_of,
    fallen,
    lost_sources,
    right_or_wrong,
    row,
    scored,
    simulate,
    sources,
    text,
)

SHORT, LONG = 200, 4000
EVEN = right_or_wrong(250, 0.1, 0.1)
DESIGNS: dict[str, tuple[list[Task], float]] = {
    "12 (0, .06) + 1000 (.03, .03)": ([right_or_wrong(12, 0, 0.06), right_or_wrong(1000, 0.03, 0.03)], -0.03),
    "12 (0, .1) + 250 (.1, .1)": ([right_or_wrong(12, 0, 0.1), EVEN], -0.05),
    "30 (0, .05) + 500 (.05, .05)": ([right_or_wrong(30, 0, 0.05), right_or_wrong(500, 0.05, 0.05)], -0.025),
    "16 (0, .1) + 3 x 250 (.1, .1)": ([right_or_wrong(16, 0, 0.1), EVEN, EVEN, EVEN], -0.025),
    "3 x 250 (.1, .1)": ([EVEN] * 3, 0.0),
    "12 scores move, 6 % fall": ([fallen(12)], -0.03),
    "30 scores move, 6 % fall": ([fallen(30)], -0.03),
    "100 scores move, 6 % fall": ([fallen(100)], -0.03),
    "250 scores move, 6 % fall": ([fallen(250)], -0.03),
    "16 (.1, .3)": ([right_or_wrong(16, 0.1, 0.3)], -0.2),
    "16 (0, .21)": ([right_or_wrong(16, 0, 0.21)], -0.21),
    "24 (.2, .2)": ([right_or_wrong(24, 0.2, 0.2)], 0.0),
    "32 (0, .3)": ([right_or_wrong(32, 0, 0.3)], -0.3),
    "32 (.02, .08)": ([right_or_wrong(32, 0.02, 0.08)], -0.06),
    "32 (.95, 0)": ([right_or_wrong(32, 0.95, 0)], 0.95),
    "100 (.15, .05)": ([right_or_wrong(100, 0.15, 0.05)], 0.1),
    "100 (.1, .1)": ([right_or_wrong(100, 0.1, 0.1)], 0.0),
    "250 (.1, .1)": ([EVEN], 0.0),
    "250 (.03, .03)": ([right_or_wrong(250, 0.03, 0.03)], 0.0),
    "250 (.04, .1)": ([right_or_wrong(250, 0.04, 0.1)], -0.06),
    "1000 (.003, .001)": ([right_or_wrong(1000, 0.003, 0.001)], 0.002),
    "1000 (.02, .04)": ([right_or_wrong(1000, 0.02, 0.04)], -0.02),
    "100 scores of text": ([text(100)], 0.0),
    "250 scores of text": ([text(250)], 0.0),
    "250 scores of nearly the same text": ([close_text(250)], 0.0),
    "100 + 250 items (.1, .1), (.2, .05) + 100 texts": (
        [right_or_wrong(100, 0.1, 0.1), right_or_wrong(250, 0.2, 0.05), text(100)],
        0.05,
    ),
    "10 sources of 10 items": ([sources([10] * 10)], 0.0),
    "20 sources of 5 items": ([sources([5] * 20)], 0.0),
    "3 tasks of 10 sources of 10 items": ([sources([10] * 10)] * 3, 0.0),
}
WIDEST = {"100 (.1, .1)": 1.15, "250 (.1, .1)": 1.1, "3 x 250 (.1, .1)": 1.1, "250 scores of text": 1.25}
"""How many times as wide as the former interval today's may be."""

ZIPF = [max(1, round(60 / place)) for place in range(1, 41)]
SOURCES = {
    "a giant of 30 + 120 single": [30, *[1] * 120],
    "zipf: 60, 30, 20 ... 1": ZIPF,
    "lognormal": np.random.default_rng(5).lognormal(1.5, 1, 40).round().astype(int).clip(1).tolist(),
    "two of 40 + 40 pairs": [40, 40, *[2] * 40],
}
UNEVEN = {
    **{f"{name}, all move": ([sources(sizes)], 0.0) for name, sizes in SOURCES.items()},
    **{f"{name}, 1 in 20 lost": ([lost_sources(sizes, 0.05)], -0.05) for name, sizes in SOURCES.items()},
}


def check(truth: float, outcome: Outcome, count: int) -> None:
    found = outcome.today
    assert found.covered(truth) >= 0.94 - allowance(0.94, count)
    if truth <= -MARGIN:
        assert found.kept <= 0.05 + allowance(0.05, count)
    if truth == 0:
        assert found.significant <= 0.05 + allowance(0.05, count)


def check_width(name: str, outcome: Outcome) -> None:
    if name in WIDEST:
        assert outcome.width_ratio <= WIDEST[name]


@pytest.mark.parametrize(
    "name",
    [
        "12 (0, .1) + 250 (.1, .1)",
        "30 (0, .05) + 500 (.05, .05)",
        "12 scores move, 6 % fall",
        "100 scores move, 6 % fall",
        "100 (.1, .1)",
        "250 (.1, .1)",
        "250 scores of text",
        "20 sources of 5 items",
    ],
)
def test_intervals_cover_and_tests_hold_their_level(name: str) -> None:
    tasks, truth = DESIGNS[name]
    outcome = simulate(tasks, count=SHORT)
    check(truth, outcome, SHORT)
    check_width(name, outcome)
    assert outcome.today.without == 0


@pytest.mark.long
@pytest.mark.parametrize("name", DESIGNS)
def test_intervals_cover_and_tests_hold_their_level_in_many_worlds(name: str) -> None:
    tasks, truth = DESIGNS[name]
    outcome = simulate(tasks, count=LONG)
    if name == next(iter(DESIGNS)):
        print(HEADER)
    print(row(name, truth, outcome))
    if name == list(DESIGNS)[-1]:
        print(f"{LONG} worlds each: standard error {error_of(0.95, LONG):.4f} of a share of 0.95 or 0.05")
    check(truth, outcome, LONG)
    check_width(name, outcome)


@pytest.mark.parametrize("name", ["lognormal, all move", "a giant of 30 + 120 single, 1 in 20 lost"])
def test_sources_of_uneven_sizes_are_covered(name: str) -> None:
    tasks, truth = UNEVEN[name]
    check(truth, simulate(tasks, count=SHORT), SHORT)


@pytest.mark.long
@pytest.mark.parametrize("name", UNEVEN)
def test_sources_of_uneven_sizes_are_covered_in_many_worlds(name: str) -> None:
    tasks, truth = UNEVEN[name]
    outcome = simulate(tasks, count=LONG)
    if name == next(iter(UNEVEN)):
        print(HEADER)
    print(row(name, truth, outcome))
    check(truth, outcome, LONG)


CELLS = 30


def stars(item_count: int, rate: float, studies: int) -> tuple[float, float]:
    """Return the share of studies of 30 cells, of mean change 0, with any star after Holm: today's and the former."""
    outcome = simulate([fallen(item_count, rate, 0.5 * rate / (1 - rate))], count=CELLS * studies)
    today, before = (
        np.array(found.p_values).reshape(studies, CELLS).min(axis=1) < 0.05 / CELLS
        for found in (outcome.today, outcome.former)
    )
    return float(today.mean()), float(before.mean())


def test_a_study_whose_scores_rise_a_little_and_rarely_collapse_has_no_false_star() -> None:
    today, before = stars(24, 0.06, 20)
    assert today == 0  # 0.95 ** 20 is 0.36: what is at its level has one in most runs; this one has none in 250 studies
    assert before > 0.5


@pytest.mark.long
@pytest.mark.parametrize(("item_count", "rate"), [(24, 0.06), (100, 0.06), (24, 0.02), (100, 0.02)])
def test_at_most_one_study_in_twenty_has_a_false_star(item_count: int, rate: float) -> None:
    studies = 250
    today, before = stars(item_count, rate, studies)
    print(
        f"\n{CELLS} cells of {item_count} scores that rise a little while {rate:.0%} fall, true mean 0: "
        f"studies with a false star {today:.3f} | {before:.3f} (standard error {error_of(0.05, studies):.3f} at 0.05)"
    )
    assert today <= 0.05 + allowance(0.05, studies)


def test_simulated_worlds_are_judged_as_a_study_is() -> None:
    tasks = [right_or_wrong(40, 0.1, 0.2), fallen(60), sources([4, 3, *[1] * 20])]
    generator = np.random.default_rng(0)
    drawn = [task.draw(generator, 3) for task in tasks]
    outcome = simulate(tasks, count=3)
    for world in range(3):
        units = [np.repeat(np.arange(len(task.sizes)), task.sizes) if task.sizes else None for task in tasks]
        pairs = [[scored(own[world], of)] for own, of in zip(drawn, units, strict=True)]
        found = infer(pairs, ACCURACY, level=0.95, margin=MARGIN)
        assert outcome.today.lows[world] == pytest.approx(found.low)
        assert outcome.today.highs[world] == pytest.approx(found.high)
        assert outcome.today.p_values[world] == pytest.approx(found.p_value)


def test_the_former_interval_is_that_of_resampled_items() -> None:
    outcome = simulate([right_or_wrong(250, 0.2, 0.2)], count=40)
    # Of normal items the expanded percentiles are the t interval; the mean over worlds is known to 1 %.
    assert RESAMPLE_COUNT >= 2000
    assert outcome.mean_widths[1] == pytest.approx(2 * 1.9695 * np.sqrt(0.4 / 249), rel=0.03)
