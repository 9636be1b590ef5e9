import dataclasses

import numpy as np
import pytest

from spillover.analysis.comparison import compare, paired_variants
from spillover.errors import UserError
from spillover.questions import answered
from spillover.records import BASE
from tests.report.made_results import made_results

RESULTS = made_results()
SFT, FTICL, OTHER = "sft/siqa/128/0", "fticl/siqa/128/0", "sft/amazon/128/0"


def values(variant):
    primary = {task.name: task.primary_metric for task in RESULTS.tasks}
    return {
        row.cell: float(RESULTS.metrics[row.metric].combine(row.statistics.sum(axis=0)))
        for row in RESULTS.scores
        if row.variant == variant and row.metric == primary[row.cell.tested_on]
    }


def test_differences_are_second_less_first_in_every_cell():
    found = compare(RESULTS, SFT, FTICL, resample_count=200)
    first, second = values(SFT), values(FTICL)
    assert {row.cell: row.difference for row in found.cells} == pytest.approx(
        {cell: second[cell] - first[cell] for cell in first}
    )
    for row in found.relations:
        own = [cell.difference for cell in found.cells if cell.relation == row.relation]
        assert row.difference == pytest.approx(np.mean(own))
        assert row.low < row.difference < row.high


def test_against_the_base_the_differences_and_intervals_are_the_reports():
    analysis = answered(RESULTS, resample_count=200)
    found = compare(RESULTS, BASE, SFT, resample_count=200)
    reported = {
        (row.tested_on, row.shots, row.metric): (row.difference, row.low, row.high)
        for row in analysis.measurements
        if row.variant == SFT
    }
    for row in found.cells:
        # Products of other shapes may add in another order.
        expected = pytest.approx((row.difference, row.low, row.high), rel=1e-12)
        assert reported[row.cell.tested_on, row.cell.shots, row.metric] == expected


def test_the_other_way_round_every_sign_is_turned():
    one, other = compare(RESULTS, SFT, FTICL, resample_count=200), compare(RESULTS, FTICL, SFT, resample_count=200)
    assert [row.difference for row in one.cells] == pytest.approx([-row.difference for row in other.cells])


def test_recipes_are_paired_where_task_size_and_seed_agree():
    assert paired_variants(RESULTS, "sft", "fticl") == ((SFT, FTICL),)
    assert paired_variants(RESULTS, BASE, "sft") == ((BASE, SFT), (BASE, OTHER))
    assert paired_variants(RESULTS, OTHER, FTICL) == ((OTHER, FTICL),)  # named one by one, anything can be compared


def test_recipes_with_other_settings_too_are_not_paired():
    other = {"settings": {"learning_rate": 1.0}}
    cards = [dataclasses.replace(card, training=other) if card.id == FTICL else card for card in RESULTS.variants]
    results = dataclasses.replace(RESULTS, variants=tuple(cards))
    with pytest.raises(UserError, match="differs from it in its recipe alone or its training settings alone"):
        paired_variants(results, "sft", "fticl")
    assert paired_variants(results, SFT, FTICL) == ((SFT, FTICL),)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("sft", "ftcl"), "unknown finished variant or recipe 'ftcl'; did you mean 'fticl'"),
        ((SFT, SFT), "'sft/siqa/128/0' and 'sft/siqa/128/0' are the same variant"),
        (("sft", "sft"), "are the same variant"),
        ((OTHER, "fticl"), "no variant of 'sft/amazon/128/0' shares training task, size and seed with one of 'fticl'"),
    ],
)
def test_what_cannot_be_paired_is_refused(names, message):
    with pytest.raises(UserError, match=message):
        compare(RESULTS, *names, resample_count=50)


def test_a_variant_that_answers_as_the_other_is_no_different():
    same = [dataclasses.replace(row, variant=FTICL) for row in RESULTS.scores if row.variant == SFT]
    results = dataclasses.replace(RESULTS, scores=(*(r for r in RESULTS.scores if r.variant != FTICL), *same))
    assert {row.difference for row in compare(results, SFT, FTICL, resample_count=50).cells} == {0.0}
