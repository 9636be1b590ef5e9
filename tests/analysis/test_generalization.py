import pytest

from spillover.analysis.generalization import analyse
from spillover.analysis.paired import content_seed, paired_bootstrap
from spillover.records import BASE, CellScores, Measurement
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


def test_a_measurement_is_the_paired_bootstrap_of_its_cell() -> None:
    scores = next(item for item in RESULTS.scores if item.variant != BASE and item.metric == "rouge_l")
    base = next(
        item for item in RESULTS.scores if (item.variant, item.cell, item.metric) == (BASE, scores.cell, "rouge_l")
    )
    seed = content_seed(scores.cell.tested_on, *sorted(scores.example_ids))
    order = sorted(range(len(scores.example_ids)), key=lambda index: scores.example_ids[index])
    alone = paired_bootstrap(base.statistics[order], scores.statistics[order], METRICS["rouge_l"].combine, seed=seed)
    row = row_of(scores)
    assert (row.low, row.high) == pytest.approx((alone.low, alone.high))


def test_the_base_differs_from_itself_by_nothing() -> None:
    rows = [row for row in ANALYSIS.measurements if row.variant == BASE]
    assert rows == list(ANALYSIS.measurements[: len(rows)])
    assert all((row.difference, row.low, row.high, row.relation) == (0, 0, 0, "") for row in rows)


def test_the_same_results_give_the_same_analysis() -> None:
    assert analyse(RESULTS) == ANALYSIS


def test_every_variant_gets_a_verdict_over_its_three_relations() -> None:
    assert [verdict.variant for verdict in ANALYSIS.verdicts] == [card.id for card in RESULTS.variants]
    assert len(ANALYSIS.relations) == 9
    assert [item.cell_count for item in ANALYSIS.relations] == [2, 2, 6] * 3
    assert ANALYSIS.left_out == ()
