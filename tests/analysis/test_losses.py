import pytest

from spillover.analysis.generalization import analyse
from spillover.analysis.losses import LOSS_PARTS
from spillover.records import BASE, Relation
from tests.analysis.made_scores import VARIANT, cell_scores, study, task

BASE_SCORES = [1.0, 1.0, 1.0, 0.0] * 10
VARIANT_SCORES = [0.0, 0.0, 1.0, 0.0] * 10
# One row an item: to the prior, to the format, otherwise; each sums to 1 less the item's accuracy.
BASE_LOSSES = [(0, 0, 0), (0, 0, 0), (-1, 0, 1), (0, 0, 1)] * 10
VARIANT_LOSSES = [(1, 0, 0), (0, 1, 0), (0, 0, 0), (0, 1, 0)] * 10


def analysis_of(base, variant, parts=LOSS_PARTS):
    extra = [
        cell_scores(model, "b", 2, [row[index] for row in rows], name)
        for model, rows in ((BASE, BASE_LOSSES), (VARIANT, VARIANT_LOSSES))
        for index, name in enumerate(LOSS_PARTS)
        if name in parts
    ]
    results = study({("b", 2): base}, {("b", 2): variant}, {"b": Relation.CROSS_TASK}, tasks=[task("b")], extra=extra)
    return analyse(results, resample_count=50)


def test_a_drop_is_the_sum_of_its_parts():
    (drop,) = analysis_of(BASE_SCORES, VARIANT_SCORES).accuracy_drops
    assert (drop.variant, drop.cell.tested_on, drop.cell.shots, drop.relation) == (VARIANT, "b", 2, "cross-task")
    assert (drop.base_accuracy, drop.variant_accuracy, drop.drop) == (0.75, 0.25, 0.5)
    # prior: 1/4 - (-1/4); format: 2/4 - 0; otherwise: 0 - 2/4
    parts = [drop.label_prior, drop.answer_format, drop.remaining]
    assert [part.amount for part in parts] == [0.5, 0.5, -0.5]
    assert drop.is_clear  # twenty items lost and none gained
    assert sum(part.amount for part in parts) == pytest.approx(drop.drop)
    assert all(part.low <= part.amount <= part.high for part in parts)


def test_a_gain_and_a_cell_whose_losses_were_not_scored_have_no_row():
    assert analysis_of(VARIANT_SCORES, BASE_SCORES).accuracy_drops == ()
    assert analysis_of(BASE_SCORES, VARIANT_SCORES, parts=LOSS_PARTS[:2]).accuracy_drops == ()
