from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from spillover.analysis.idle import floor_of, idle_cells
from spillover.records import BASE, Cell, CellScores, FloatArray, MetricCard, Relation, TaskCard
from spillover.statistics.cells import resample_scores
from tests.analysis.made_scores import VARIANT, share, study, task


def idle_of(right: int, count: int, floor: float | None, *, metric: str = "accuracy") -> bool:
    """Whether a base with so many right answers cannot lose."""
    values = [1.0] * right + [0.0] * (count - right)
    card = replace(task("t", metric=metric), floors={} if floor is None else {metric: floor})
    results = study({("t", 0): values}, {("t", 0): values}, {"t": Relation.CROSS_TASK}, tasks=[card])
    found = idle_cells(results, resample_scores(results, resample_count=20))
    if found:
        assert found[0].cell == Cell("t", 1, 0, 0)
        assert (found[0].base_value, found[0].floor) == (right / count, floor if floor is not None else 0.0)
    return bool(found)


@pytest.mark.parametrize(("count", "floor"), [(12, 0.25), (100, 0.25), (100, 0.5), (400, 0.9)])
def test_a_base_can_lose_from_the_exact_binomial_tests_first_success_on(count: int, floor: float) -> None:
    first = next(k for k in range(count + 1) if stats.binomtest(k, count, floor, alternative="greater").pvalue < 0.05)
    # The tail by saddlepoint is up to 5 % larger than the exact one, which moves a bound by less than one item.
    assert idle_of(first - 1, count, floor)
    assert not idle_of(first + 1, count, floor)


def test_one_right_answer_in_a_thousand_is_above_no_answer_at_all() -> None:
    assert idle_of(0, 1000, None)
    assert not idle_of(1, 1000, None)


def test_too_few_items_to_tell_are_no_reason_that_a_base_cannot_lose() -> None:
    assert not idle_of(9, 9, 0.25)
    assert not idle_of(0, 9, 0.25)


def test_a_metric_whose_floor_nobody_knows_counts_as_one_that_can_lose() -> None:
    assert not idle_of(0, 40, None, metric="loss")


def test_a_known_floor_comes_before_that_of_the_unit() -> None:
    card = TaskCard("t", "f", "t", (), "x", 4, None, {}, floors={"x": 0.3})
    bare = replace(card, floors={})
    units = {unit: MetricCard("x", share, unit) for unit in ("share", "points", "correlation", "nats", "grade")}
    assert [floor_of(card, "x", metric) for metric in units.values()] == [0.3] * 5
    assert [floor_of(bare, "x", metric) for metric in units.values()] == [0.0, 0.0, 0.0, None, None]
    assert floor_of(bare, "x", MetricCard("x", share, "share", higher_is_better=False)) is None


def test_a_perfect_base_can_lose_also_where_every_resample_gives_the_same() -> None:
    def squared(totals: FloatArray) -> FloatArray:
        return np.asarray((totals[..., 0] / totals[..., 1]) ** 2, dtype=np.float64)

    def cells(value: float, count: int) -> CellScores:
        statistics = np.column_stack([np.full(count, value), np.full(count, 2.0)])  # a weight of 2: no mean of items
        return CellScores(BASE, Cell("t", 1, 0, 0), "x", tuple(map(str, range(count))), statistics)

    for value, count, idle in ((2.0, 40, False), (0.0, 40, True), (2.0, 9, False)):
        card = TaskCard("t", "f", "t", (), "x", count, None, {}, floors={"x": 0.5})
        own = replace(cells(value, count), variant=VARIANT)
        results = replace(
            study({}, {}, {"t": Relation.CROSS_TASK}, tasks=[card], extra=[cells(value, count), own]),
            metrics={"x": MetricCard("x", squared, "correlation")},
        )
        assert bool(idle_cells(results, resample_scores(results, resample_count=40))) is idle
