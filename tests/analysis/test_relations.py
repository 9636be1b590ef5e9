import numpy as np
import pytest
from scipy import stats

from spillover.analysis.cells import resample_scores
from spillover.analysis.relations import best_of_shots, relation_summaries
from spillover.records import Relation
from tests.analysis.made_scores import VARIANT, study, task

NEAR_FAR = {"near": Relation.OUT_OF_DOMAIN, "far": Relation.OUT_OF_DOMAIN}


def test_the_mean_of_a_relation_is_the_mean_of_its_cells() -> None:
    # near: 2/4 to 3/4 at 0 shots (+0.25), 4/4 to 2/4 at 2 shots (-0.5); far: 0/2 to 1/2 at 0 shots (+0.5).
    results = study(
        {("near", 0): (1, 1, 0, 0), ("near", 2): (1, 1, 1, 1), ("far", 0): (0, 0)},
        {("near", 0): (1, 1, 1, 0), ("near", 2): (1, 0, 1, 0), ("far", 0): (1, 0)},
        NEAR_FAR,
    )
    (summary,) = relation_summaries(results, resample_scores(results, resample_count=400), level=0.95)
    assert (summary.variant, summary.relation) == (VARIANT, Relation.OUT_OF_DOMAIN)
    assert (summary.cell_count, summary.item_count) == (3, 6)
    assert summary.base_mean == pytest.approx((0.5 + 1 + 0) / 3)
    assert summary.variant_mean == pytest.approx((0.75 + 0.5 + 0.5) / 3)
    assert summary.mean_difference == pytest.approx(0.25 / 3)


def test_the_interval_resamples_each_task_apart_and_its_shots_together() -> None:
    rng = np.random.default_rng(0)
    base = {
        key: rng.uniform(0.2, 0.6, count) for key, count in {("near", 0): 40, ("near", 2): 40, ("far", 0): 12}.items()
    }
    own = {key: values + rng.normal(0.05, 0.1, len(values)) for key, values in base.items()}
    results = study(base, own, NEAR_FAR)
    (summary,) = relation_summaries(results, resample_scores(results, resample_count=4000), level=0.95)
    change = {key: own[key] - base[key] for key in base}
    parts = [(change["near", 0] + change["near", 2]) / 3, change["far", 0] / 3]
    variances = np.array([part.var(ddof=1) / len(part) for part in parts])
    freedom = variances.sum() ** 2 / (variances**2 / [39, 11]).sum()
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variances.sum())
    # An end of 4,000 resamples is known to about 4 % of the half width.
    assert summary.low == pytest.approx(summary.mean_difference - half, abs=0.15 * half)
    assert summary.high == pytest.approx(summary.mean_difference + half, abs=0.15 * half)
    assert summary.nothing_lost == (
        summary.mean_difference - stats.t.ppf(0.95, freedom) * np.sqrt(variances.sum()) > -0.02
    )


def test_relations_without_cells_and_metrics_that_are_not_shares_are_absent() -> None:
    scores = {("near", 0): (1, 0), ("far", 0): (2.5, 3.5)}
    cards = [task("near"), task("far", metric="loss")]
    results = study(scores, scores, {"near": Relation.IN_DOMAIN, "far": Relation.CROSS_TASK}, tasks=cards)
    summaries = relation_summaries(results, resample_scores(results, resample_count=5), level=0.95)
    assert [item.relation for item in summaries] == [Relation.IN_DOMAIN]


def test_best_of_shots_picks_each_models_own_best() -> None:
    results = study(
        {("near", 0): (1, 0, 0, 0) * 5, ("near", 2): (1, 1, 0, 0) * 5},
        {("near", 0): (1, 1, 1, 0) * 5, ("near", 2): (0, 0, 0, 0) * 5},
        {"near": Relation.IN_DOMAIN},
    )
    (row,) = best_of_shots(results, resample_scores(results, resample_count=200), level=0.95)
    assert (row.base_best, row.base_shots, row.variant_best, row.variant_shots) == (0.5, 2, 0.75, 0)
    assert row.difference == 0.25
    assert row.low is not None
    assert row.high is not None
    assert row.low < row.difference < row.high


def test_the_best_of_a_loss_is_the_lowest() -> None:
    results = study(
        {("near", 0): (3.0, 3.0), ("near", 2): (2.0, 2.0)},
        {("near", 0): (1.0, 1.0), ("near", 2): (4.0, 4.0)},
        {"near": Relation.IN_DOMAIN},
        tasks=[task("near", metric="loss")],
    )
    (row,) = best_of_shots(results, resample_scores(results, resample_count=20), level=0.95)
    assert (row.base_best, row.variant_best) == (2, 1)
    assert (row.difference, row.low, row.high) == (-1, None, None)


def test_there_is_no_best_over_a_single_shot_count() -> None:
    scores = {("near", 0): (1, 0)}
    results = study(scores, scores, {"near": Relation.IN_DOMAIN})
    assert best_of_shots(results, resample_scores(results, resample_count=5), level=0.95) == ()
