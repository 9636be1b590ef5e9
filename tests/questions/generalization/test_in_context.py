from dataclasses import replace

import numpy as np
import pytest

from spillover.questions import GENERALIZATION, answered
from spillover.records import Relation
from spillover.statistics.gaffke import gaffke
from tests.analysis.made_scores import VARIANT, study

BASE = {("b", 0): [0, 0, 1, 0], ("b", 2): [1, 1, 1, 0], ("b", 4): [1, 1, 1, 1]}
TUNED = {("b", 0): [1, 0, 1, 1], ("b", 2): [1, 0, 1, 0], ("b", 4): [1, 1, 1, 1]}
RESULTS = study(BASE, TUNED, {"b": Relation.OUT_OF_DOMAIN})


def test_the_gain_is_the_score_at_k_shots_less_the_score_without_any_against_the_bases():
    rows = answered(RESULTS, resample_count=50).of(GENERALIZATION).in_context_gains
    assert [(row.variant, row.relation, row.cell.shots) for row in rows] == [
        (VARIANT, Relation.OUT_OF_DOMAIN, 2),
        (VARIANT, Relation.OUT_OF_DOMAIN, 4),
    ]
    assert [(row.base_gain, row.variant_gain, row.difference) for row in rows] == [
        (0.5, -0.25, -0.75),
        (0.75, 0.25, -0.5),
    ]


def test_the_interval_is_that_of_the_double_difference_of_each_item():
    base, tuned = ({key: scores * 10 for key, scores in made.items()} for made in (BASE, TUNED))
    results = study(base, tuned, {"b": Relation.OUT_OF_DOMAIN})
    own, other = (np.array(scores["b", 2]) - np.array(scores["b", 0]) for scores in (tuned, base))
    # A gain less a gain lies within -2 and 2.
    low, high = gaffke(own - other, np.full(40, 1 / 40), lowest=-2.0, highest=2.0).interval(0.95)
    row = answered(results, resample_count=200).of(GENERALIZATION).in_context_gains[0]
    assert (row.low, row.high) == (pytest.approx(low), pytest.approx(high))
    assert row.is_clear == (high < 0)


def test_few_items_that_gain_otherwise_than_in_the_base_show_no_clear_difference():
    # Five of a hundred, all down: an exact test of signs gives p = 0.06, and resamples nothing above zero.
    tuned = {("b", 0): [1.0] * 100, ("b", 2): [0.0] * 5 + [1.0] * 95}
    results = study(dict.fromkeys(tuned, [1.0] * 100), tuned, {"b": Relation.OUT_OF_DOMAIN})
    (row,) = answered(results, resample_count=200).of(GENERALIZATION).in_context_gains
    low, high = gaffke(np.array([-1.0] * 5 + [0.0] * 95), np.full(100, 0.01), lowest=-2.0, highest=2.0).interval(0.95)
    assert row.difference == pytest.approx(-0.05)
    assert (row.low, row.high) == (pytest.approx(low), pytest.approx(high))
    assert not row.is_clear


def test_four_items_give_no_interval():
    row = answered(RESULTS, resample_count=50).of(GENERALIZATION).in_context_gains[0]
    assert (row.low, row.high, row.is_clear) == (None, None, False)


def test_a_task_that_was_never_tested_without_demonstrations_has_no_gain():
    shown = replace(RESULTS, scores=tuple(scores for scores in RESULTS.scores if scores.cell.shots))
    assert answered(shown, resample_count=50).of(GENERALIZATION).in_context_gains == ()
