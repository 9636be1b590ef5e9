import numpy as np
import pytest
from scipy import stats

from spillover.questions import answered
from spillover.records import BASE, RIGHT_ANSWERS, CellScores, Measurement
from tests.report.made_results import METRICS, made_results

RESULTS = made_results()
ANALYSIS = answered(RESULTS)


def row_of(scores: CellScores) -> Measurement:
    (found,) = (
        row
        for row in ANALYSIS.measurements
        if (row.variant, row.tested_on, row.shots, row.metric)
        == (scores.variant, scores.cell.tested_on, scores.cell.shots, scores.metric)
    )
    return found


def test_every_score_becomes_one_measurement() -> None:
    assert len(ANALYSIS.measurements) == len(RESULTS.scores)
    for scores in RESULTS.scores:
        row = row_of(scores)
        totals = scores.statistics.sum(axis=0)
        assert row.value == pytest.approx(float(METRICS[scores.metric].combine(totals)))
        assert row.difference == pytest.approx(row.value - row.base_value, abs=1e-12)
        assert row.item_count == len(scores.example_ids)


def test_a_measurement_has_the_ends_of_randomly_weighted_items_and_one_that_changed_as_much_as_can_be() -> None:
    scores = next(item for item in RESULTS.scores if item.variant != BASE and item.metric == "rouge_l")
    base = next(
        item for item in RESULTS.scores if (item.variant, item.cell, item.metric) == (BASE, scores.cell, "rouge_l")
    )
    change = scores.statistics[:, 0] - base.statistics[:, 0]
    weights = np.random.default_rng(0).exponential(size=(40_000, 33))
    ends = [weights @ np.append(change, worst) / weights.sum(axis=1) for worst in (-1, 1)]
    row = row_of(scores)
    assert row.low is not None
    assert row.high is not None
    half = (row.high - row.low) / 2
    # 40,000 draws know an end to about 1 % of the half width.
    assert row.low == pytest.approx(np.quantile(ends[0], 0.025), abs=0.04 * half)
    assert row.high == pytest.approx(np.quantile(ends[1], 0.975), abs=0.04 * half)
    assert row.p_value == pytest.approx(2 * min((ends[0] <= 0).mean(), 0.5), rel=0.1, abs=1e-3)


def test_an_accuracy_has_the_exact_mcnemar_p_value_and_wilsons_interval() -> None:
    scores = next(item for item in RESULTS.scores if item.variant != BASE and item.metric == "accuracy")
    base = next(
        item for item in RESULTS.scores if (item.variant, item.cell, item.metric) == (BASE, scores.cell, "accuracy")
    )
    change = scores.statistics[:, 0] - base.statistics[:, 0]
    gains, losses = int((change > 0).sum()), int((change < 0).sum())
    row = row_of(scores)
    # The tail is by saddlepoint: at most 5 % larger than the exact one, and not smaller by more than 1 %.
    assert row.p_value is not None
    assert 0.99 < row.p_value / stats.binomtest(gains, gains + losses).pvalue < 1.05
    wilson = stats.binomtest(int(scores.statistics[:, 0].sum()), 64).proportion_ci(method="wilson")
    assert (row.value_low, row.value_high) == pytest.approx((wilson.low, wilson.high))


def test_the_base_differs_from_itself_by_nothing() -> None:
    rows = [row for row in ANALYSIS.measurements if row.variant == BASE]
    assert rows == list(ANALYSIS.measurements[: len(rows)])
    assert all((row.difference, row.low, row.high, row.relation, row.p_value) == (0, 0, 0, "", None) for row in rows)


def test_the_same_results_give_the_same_analysis() -> None:
    assert answered(RESULTS) == ANALYSIS


def test_every_variant_gets_a_verdict_over_its_three_relations() -> None:
    assert [verdict.variant for verdict in ANALYSIS.verdicts] == [card.id for card in RESULTS.variants]
    rows = [(item.relation.value, item.kind, item.cell_count) for item in ANALYSIS.relations]
    of_text, of_choices = "ROUGE-L", RIGHT_ANSWERS
    on_text = [("in-domain", of_text, 2), ("out-of-domain", of_text, 2), ("cross-task", of_choices, 6)]
    # Across tasks the variant on choices was asked for text and for choices, which have no common mean.
    other = [("cross-task", of_text, 4), ("cross-task", of_choices, 2)]
    on_choices = [("in-domain", of_choices, 2), ("out-of-domain", of_choices, 2), *other]
    assert rows == [*on_text, *on_text, *on_choices]
