"""Whether what a verdict asks for settles it, tried out by asking for it."""

import re
from dataclasses import replace

import numpy as np
import pytest

from spillover.analysis.idle import idle_cells
from spillover.analysis.readings import Subject, subjects
from spillover.questions.generalization.settling import settling
from spillover.questions.generalization.verdicts import light, open_questions
from spillover.records import Relation, StudyResults
from spillover.statistics.cells import resample_scores
from tests.analysis.made_scores import study
from tests.statistics.test_seeds import study_of


def world(seed: int, count: int, *, lost: float, gained: float) -> StudyResults:
    """Build one cross-task test of independent items on which base and variant are right or wrong."""
    draw = np.random.default_rng(seed)
    base = draw.random(count) < 0.7
    own = np.where(base, draw.random(count) >= lost / 0.7, draw.random(count) < gained / 0.3)
    return study(
        {("far", 0): base.astype(float).tolist()},
        {("far", 0): own.astype(float).tolist()},
        {"far": Relation.CROSS_TASK},
    )


def judged(results: StudyResults) -> Subject:
    scores = resample_scores(results, resample_count=400)
    (subject,) = subjects(results, scores, idle_cells(results, scores), level=0.95)
    return subject


def words(results: StudyResults) -> str:
    subject = judged(results)
    return settling(results, subject, open_questions(subject, results.margin))


def items_of(text: str) -> int:
    found = re.search(r"about ([\d,]+) more items of far", text)
    assert found, text
    return int(found[1].replace(",", ""))


def test_of_items_that_did_not_change_it_is_what_makes_the_fewest() -> None:
    same = (1.0, 1.0, 1.0, 0.0) * 10
    results = study({("far", 0): same}, {("far", 0): same}, {"far": Relation.CROSS_TASK})
    assert items_of(words(results)) == 110  # 149 in all: 0.98 ** 149 < 0.05, rounded up to two digits


def test_so_many_more_items_settle_it_four_times_in_five() -> None:
    # One answer in ten changes, as often either way. Asked on 300 items, then on as many more as it says, drawn anew
    # with the differences that were seen taken for the true ones.
    results = next(
        found
        for seed in range(100)
        if light(judged(found := world(seed, 300, lost=0.05, gained=0.05)), found.margin) == "unclear"
        and abs(judged(found).rows[0].mean.difference) < 0.005
    )
    gain = judged(results).rows[0].mean.difference
    count = 300 + items_of(words(results))
    lost, gained = 0.05 - gain / 2, 0.05 + gain / 2
    lights = [light(judged(world(1 + index, count, lost=lost, gained=gained)), results.margin) for index in range(60)]
    assert 0.65 <= lights.count("keeps") / 60 <= 0.95  # 0.8, give or take two and a half deviations and rounding


def test_a_loss_is_settled_by_showing_it() -> None:
    results = next(
        found
        for seed in range(100)
        if light(judged(found := world(seed, 200, lost=0.08, gained=0.04)), found.margin) == "unclear"
        and judged(found).rows[0].mean.difference == pytest.approx(-0.04)
    )
    count = 200 + items_of(words(results))
    lights = [light(judged(world(1000 + index, count, lost=0.08, gained=0.04)), results.margin) for index in range(60)]
    assert 0.65 <= lights.count("loses") / 60 <= 0.97


def test_what_items_took_says_how_long_more_of_them_take() -> None:
    same = (1.0, 1.0, 1.0, 0.0) * 10
    results = study({("far", 0): same}, {("far", 0): same}, {"far": Relation.CROSS_TASK})
    seconds = {0.6: "65 seconds", 1.7: "3 minutes", 60.0: "1.8 hours"}
    for each, said in seconds.items():
        told = words(replace(results, item_seconds={"far": each}))
        assert told == f"about 110 more items of far ({said} of processor time) would settle it"


def test_what_lost_exactly_half_of_what_is_allowed_is_not_settled_by_items_alone() -> None:
    # 400 items of which 4 were lost: a loss of 0.01; then 40 lost and 36 gained, of the same loss, but of more spread.
    base = [1.0] * 300 + [0.0] * 100
    own = [0.0] * 40 + [1.0] * 260 + [1.0] * 36 + [0.0] * 64
    results = study({("far", 0): base}, {("far", 0): own}, {"far": Relation.CROSS_TASK})
    assert items_of(words(results)) > 10_000


def test_seeds_that_differ_are_settled_by_more_seeds() -> None:
    draw = np.random.default_rng(0)
    means = np.array([-0.09, 0.04, 0.03])
    results = study_of(means[:, None, None] + draw.normal(0, 0.01, (3, 1, 200)))
    told = words(replace(results, tasks=(replace(results.tasks[0], floors={"accuracy": 0.0}),)))
    assert "training seeds" in told


def test_nothing_open_asks_for_nothing() -> None:
    results = world(0, 300, lost=0.05, gained=0.05)
    assert settling(results, judged(results), []) == ""
