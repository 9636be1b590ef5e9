import numpy as np
import pytest
from scipy import stats

from spillover.analysis.generalization import analyse
from spillover.analysis.paired import content_seed
from spillover.records import BASE, CellScores, Measurement
from tests.analysis.bootstrap import paired_bootstrap
from tests.report.made_results import METRICS, made_results

RESULTS = made_results()
ANALYSIS = analyse(RESULTS)


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


def test_a_measurement_has_the_percentiles_of_its_cell_at_the_level_of_a_t_interval() -> None:
    scores = next(item for item in RESULTS.scores if item.variant != BASE and item.metric == "rouge_l")
    base = next(
        item for item in RESULTS.scores if (item.variant, item.cell, item.metric) == (BASE, scores.cell, "rouge_l")
    )
    seed = content_seed(scores.cell.tested_on, *sorted(scores.example_ids))
    order = sorted(range(32), key=lambda index: scores.example_ids[index])
    tail = stats.norm.cdf(np.sqrt(32 / 31) * stats.t.ppf(0.025, 31))
    combine = METRICS["rouge_l"].combine
    alone = paired_bootstrap(
        base.statistics[order], scores.statistics[order], combine, seed=seed, level=1 - 2 * float(tail)
    )
    row = row_of(scores)
    assert (row.low, row.high) == pytest.approx((alone.low, alone.high))
    change = scores.statistics[:, 0] - base.statistics[:, 0]
    # The deviation of 2,000 resamples is known to 1.6 %, which moves t, and with it the logarithm of p.
    assert row.p_value is not None
    assert np.log(row.p_value) == pytest.approx(np.log(stats.ttest_1samp(change, 0).pvalue), rel=0.1, abs=0.1)


def test_an_accuracy_has_the_exact_mcnemar_p_value_and_wilsons_interval() -> None:
    scores = next(item for item in RESULTS.scores if item.variant != BASE and item.metric == "accuracy")
    base = next(
        item for item in RESULTS.scores if (item.variant, item.cell, item.metric) == (BASE, scores.cell, "accuracy")
    )
    change = scores.statistics[:, 0] - base.statistics[:, 0]
    gains, losses = int((change > 0).sum()), int((change < 0).sum())
    row = row_of(scores)
    assert row.p_value == pytest.approx(stats.binomtest(gains, gains + losses).pvalue)
    wilson = stats.binomtest(int(scores.statistics[:, 0].sum()), 64).proportion_ci(method="wilson")
    assert (row.value_low, row.value_high) == pytest.approx((wilson.low, wilson.high))


def test_the_base_differs_from_itself_by_nothing() -> None:
    rows = [row for row in ANALYSIS.measurements if row.variant == BASE]
    assert rows == list(ANALYSIS.measurements[: len(rows)])
    assert all((row.difference, row.low, row.high, row.relation, row.p_value) == (0, 0, 0, "", None) for row in rows)


def test_the_same_results_give_the_same_analysis() -> None:
    assert analyse(RESULTS) == ANALYSIS


def test_every_variant_gets_a_verdict_over_its_three_relations() -> None:
    assert [verdict.variant for verdict in ANALYSIS.verdicts] == [card.id for card in RESULTS.variants]
    assert len(ANALYSIS.relations) == 9
    assert [item.cell_count for item in ANALYSIS.relations] == [2, 2, 6] * 3
    assert ANALYSIS.left_out == ()
