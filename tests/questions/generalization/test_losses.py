import pytest

from spillover.questions import GENERALIZATION, answered
from spillover.questions.generalization.losses import LOSS_PARTS
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
    return answered(results, resample_count=50)


def test_a_drop_is_the_sum_of_its_parts():
    (drop,) = analysis_of(BASE_SCORES, VARIANT_SCORES).of(GENERALIZATION).accuracy_drops
    assert (drop.variant, drop.cell.tested_on, drop.cell.shots, drop.relation) == (VARIANT, "b", 2, "cross-task")
    assert (drop.base_accuracy, drop.variant_accuracy, drop.drop) == (0.75, 0.25, 0.5)
    # prior: 1/4 - (-1/4); format: 2/4 - 0; otherwise: 0 - 2/4
    parts = [drop.label_prior, drop.answer_format, drop.remaining]
    assert [part.amount for part in parts] == [0.5, 0.5, -0.5]
    assert drop.is_clear  # twenty items lost and none gained
    assert sum(part.amount for part in parts) == pytest.approx(drop.drop)
    assert all(part.low <= part.amount <= part.high for part in parts)
    # Each of the three is as large as the drop itself.
    assert drop.reading == "its parts cancel (label prior +0.50, answer format +0.50, remaining −0.50): no explanation"


def losses(prior=0, answer_format=0, remaining=0):
    return (prior, answer_format, remaining)


NEITHER = losses(remaining=1)


def reading_of(changes, *, unchanged=300, base_rows=()):
    """Read a drop of items that the base has right and the variant wrong, each for its reason, beside unchanged ones.

    ``base_rows`` are items that both have wrong: what they cost the base, and what the variant.
    """
    lost = [reason for reason, count in changes for _ in range(count)]
    count = len(lost) + unchanged + len(base_rows)
    accuracy = [[1.0] * (count - len(base_rows)), [0.0] * len(lost) + [1.0] * unchanged]
    accuracy = [row + [0.0] * (count - len(row)) for row in accuracy]
    rows = [
        [losses()] * (len(lost) + unchanged) + [before for before, _ in base_rows],
        lost + [losses()] * unchanged + [after for _, after in base_rows],
    ]
    extra = [
        cell_scores(model, "b", 2, [row[index] for row in of_model], name)
        for model, of_model in zip((BASE, VARIANT), rows, strict=True)
        for index, name in enumerate(LOSS_PARTS)
    ]
    results = study(
        {("b", 2): accuracy[0]}, {("b", 2): accuracy[1]}, {"b": Relation.CROSS_TASK}, tasks=[task("b")], extra=extra
    )
    (drop,) = answered(results, resample_count=50).of(GENERALIZATION).accuracy_drops
    assert drop.label_prior.amount + drop.answer_format.amount + drop.remaining.amount == pytest.approx(drop.drop)
    return drop.reading


PRIOR, FORMAT = losses(prior=1), losses(answer_format=1)


def test_the_part_that_is_shown_to_be_most_of_a_drop_is_named():
    # 80 of 400 lost: 0.20, of which 70 to the one cause (0.17) and 10 to another.
    assert reading_of([(PRIOR, 70), (NEITHER, 10)], unchanged=320) == (
        "most of it is a shifted label prior: contextual calibration would repair 0.17 of 0.20"
    )
    assert reading_of([(FORMAT, 70), (NEITHER, 10)], unchanged=320) == (
        "most of it is answers outside the format: items where the model would say something else make up 0.17 of 0.20"
    )
    assert reading_of([(NEITHER, 80)], unchanged=320) == (
        "most of it is wrong answers within the format: items that calibration does not repair make up all of 0.20"
    )


def test_several_causes_of_which_none_is_most_are_all_named():
    assert reading_of([(PRIOR, 40), (FORMAT, 40)], unchanged=320) == (
        "in part it is a shifted label prior (0.10 of 0.20) and answers outside the format (0.10 of 0.20)"
    )


def test_parts_that_cancel_explain_nothing():
    # 60 of 400 lost to the prior, beside 90 that the base would not say and the variant does, wrongly: 0.15 in
    # all, +0.15 to the prior, -0.225 to the format, +0.225 to the rest.
    base_rows = [(FORMAT, NEITHER)] * 90
    assert reading_of([(PRIOR, 60)], unchanged=250, base_rows=base_rows) == (
        "its parts cancel (remaining +0.23, label prior +0.15, answer format −0.23): no explanation"
    )


def test_few_items_explain_nothing():
    assert reading_of([(PRIOR, 3)], unchanged=37) == "too few items to say that anything was lost"
    # 9 of 60 are enough for a drop of 0.15, and 3 of each reason are not for any of them.
    assert reading_of([(PRIOR, 3), (FORMAT, 3), (NEITHER, 3)], unchanged=51) == "too few items to say of what"


def test_a_gain_and_a_cell_whose_losses_were_not_scored_have_no_row():
    assert analysis_of(VARIANT_SCORES, BASE_SCORES).of(GENERALIZATION).accuracy_drops == ()
    assert analysis_of(BASE_SCORES, VARIANT_SCORES, parts=LOSS_PARTS[:2]).of(GENERALIZATION).accuracy_drops == ()
