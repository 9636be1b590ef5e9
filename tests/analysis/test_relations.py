import numpy as np
import pytest
from scipy import stats

from spillover.analysis.idle import idle_cells
from spillover.analysis.readings import Change, subjects
from spillover.analysis.relations import RelationSummary, relation_summaries
from spillover.questions.generalization.best_of_shots import best_of_shots
from spillover.records import Relation, StudyResults
from spillover.statistics.cells import resample_scores
from tests.analysis.made_scores import VARIANT, study, task

NEAR_FAR = {"near": Relation.OUT_OF_DOMAIN, "far": Relation.OUT_OF_DOMAIN}


def summaries_of(results: StudyResults, *, resample_count: int = 400) -> tuple[RelationSummary, ...]:
    scores = resample_scores(results, resample_count=resample_count)
    judged = subjects(results, scores, idle_cells(results, scores), level=0.95)
    return relation_summaries(results, scores, judged, level=0.95)


def test_the_mean_of_a_relation_is_the_mean_of_its_cells() -> None:
    # near: 2/4 to 3/4 at 0 shots (+0.25), 4/4 to 2/4 at 2 shots (-0.5); far: 0/2 to 1/2 at 0 shots (+0.5).
    results = study(
        {("near", 0): (1, 1, 0, 0), ("near", 2): (1, 1, 1, 1), ("far", 0): (0, 0)},
        {("near", 0): (1, 1, 1, 0), ("near", 2): (1, 0, 1, 0), ("far", 0): (1, 0)},
        NEAR_FAR,
    )
    (summary,) = summaries_of(results)
    assert (summary.variant, summary.relation) == (VARIANT, Relation.OUT_OF_DOMAIN)
    assert (summary.kind, summary.unit, summary.tasks) == ("accuracy", "share", ("near", "far"))
    assert (summary.cell_count, summary.item_count) == (3, 6)
    assert summary.base_mean == pytest.approx((0.5 + 1 + 0) / 3)
    assert summary.variant_mean == pytest.approx((0.75 + 0.5 + 0.5) / 3)
    assert summary.mean_difference == pytest.approx(0.25 / 3)


def test_the_interval_adds_up_what_each_task_is_off_by_with_its_shots_together() -> None:
    rng = np.random.default_rng(0)
    base = {
        key: rng.uniform(0.2, 0.6, count)
        for key, count in {("near", 0): 400, ("near", 2): 400, ("far", 0): 300}.items()
    }
    own = {key: values + rng.normal(0.01, 0.1, len(values)) for key, values in base.items()}
    own["near", 2] = (
        base["near", 2] + own["near", 0] - base["near", 0] + rng.normal(0, 0.02, 400)
    )  # shots move together
    (summary,) = summaries_of(study(base, own, NEAR_FAR))
    change = {key: own[key] - base[key] for key in base}
    parts = [(change["near", 0] + change["near", 2]) / 3, change["far", 0] / 3]
    half = stats.norm.ppf(0.975) * np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts))
    assert summary.low is not None
    assert summary.high is not None
    # The imagined item adds up to 2 / 3 / 400 to what near is off by, and 2 / 3 / 300 to far.
    assert summary.mean_difference - half - 0.004 < summary.low < summary.mean_difference - 0.99 * half
    assert summary.mean_difference + 0.99 * half < summary.high < summary.mean_difference + half + 0.004
    apart = stats.norm.ppf(0.975) * np.sqrt(sum(change[key].var(ddof=1) / len(change[key]) for key in base)) / 3
    assert half > 1.2 * apart


def test_a_relation_has_a_row_for_every_kind_and_one_without_cells_has_none() -> None:
    scores = {("near", 0): (1, 0) * 20, ("far", 0): (2.5, 3.5) * 20, ("text", 0): (0.2, 0.4) * 20}
    cards = [task("near"), task("far", metric="loss"), task("text", metric="label_share")]
    relations = {"near": Relation.IN_DOMAIN, "far": Relation.CROSS_TASK, "text": Relation.CROSS_TASK}
    found = summaries_of(study(scores, scores, relations, tasks=cards))
    assert [(item.relation, item.kind, item.higher_is_better) for item in found] == [
        (Relation.IN_DOMAIN, "accuracy", True),
        (Relation.CROSS_TASK, "loss", False),
        (Relation.CROSS_TASK, "bare label words", False),
    ]
    assert found[1].base_mean == pytest.approx(3.0)


def test_a_loss_that_is_gone_is_a_gain_where_lower_is_better() -> None:
    base = tuple(2 + 0.01 * index for index in range(40))
    own = tuple(1.5 - 0.01 * index for index in range(40))
    cards = [task("far", metric="loss")]
    (summary,) = summaries_of(study({("far", 0): base}, {("far", 0): own}, {"far": Relation.CROSS_TASK}, tasks=cards))
    assert summary.mean_difference == pytest.approx(-0.5 - 0.02 * 19.5)
    assert summary.change is Change.GAINED
    assert summary.largest_loss is not None
    assert summary.largest_loss < -0.7


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
