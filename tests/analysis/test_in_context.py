from dataclasses import replace

import numpy as np
import pytest

from spillover.analysis.generalization import analyse
from spillover.analysis.paired import content_seed, resample_counts
from spillover.records import Relation
from tests.analysis.made_scores import VARIANT, study

BASE = {("b", 0): [0, 0, 1, 0], ("b", 2): [1, 1, 1, 0], ("b", 4): [1, 1, 1, 1]}
TUNED = {("b", 0): [1, 0, 1, 1], ("b", 2): [1, 0, 1, 0], ("b", 4): [1, 1, 1, 1]}
RESULTS = study(BASE, TUNED, {"b": Relation.OUT_OF_DOMAIN})


def test_the_gain_is_the_score_at_k_shots_less_the_score_without_any_against_the_bases():
    rows = analyse(RESULTS, resample_count=50).in_context_gains
    assert [(row.variant, row.relation, row.cell.shots) for row in rows] == [
        (VARIANT, Relation.OUT_OF_DOMAIN, 2),
        (VARIANT, Relation.OUT_OF_DOMAIN, 4),
    ]
    assert [(row.base_gain, row.variant_gain, row.difference) for row in rows] == [
        (0.5, -0.25, -0.75),
        (0.75, 0.25, -0.5),
    ]


def test_the_interval_is_that_of_the_double_difference_of_each_item():
    own, base = (np.array(scores["b", 2]) - np.array(scores["b", 0]) for scores in (TUNED, BASE))
    items = own - base
    counts = resample_counts(4, seed=content_seed("b", "b-0", "b-1", "b-2", "b-3"), resample_count=200)
    low, high = np.quantile(counts @ items / 4, [0.025, 0.975])
    row = analyse(RESULTS, resample_count=200).in_context_gains[0]
    assert (row.low, row.high) == (pytest.approx(low), pytest.approx(high))


def test_a_task_that_was_never_tested_without_demonstrations_has_no_gain():
    shown = replace(RESULTS, scores=tuple(scores for scores in RESULTS.scores if scores.cell.shots))
    assert analyse(shown, resample_count=50).in_context_gains == ()
