import itertools
from dataclasses import replace

import numpy as np
import pytest

from spillover.records import BASE, Cell, CellScores, Relation, StudyResults
from spillover.statistics.cells import ScoreKey, cells_of, resample_scores
from tests.analysis.made_scores import VARIANT, cell_scores, study, task

BASE_SCORES = {("home", 0): (0, 1, 0, 1), ("home", 2): (1, 1, 0, 1)}
OWN_SCORES = {("home", 0): (1, 1, 0, 1), ("home", 2): (1, 1, 1, 1)}
HOME = {"home": Relation.IN_DOMAIN}


def home(extra: tuple[CellScores, ...] = ()) -> StudyResults:
    return study(BASE_SCORES, OWN_SCORES, HOME, extra=extra)


def test_shots_of_one_task_share_their_resampled_items() -> None:
    same = {("home", 0): (0, 1, 0, 1), ("home", 2): (0, 1, 0, 1)}
    scores = resample_scores(study(same, same, HOME), resample_count=100)
    at_0 = scores[ScoreKey(BASE, Cell("home", 1, 0, 0), "accuracy")]
    at_2 = scores[ScoreKey(VARIANT, Cell("home", 1, 2, 0), "accuracy")]
    assert (at_0.replicates == at_2.replicates).all()
    assert len(np.unique(at_0.replicates)) > 1


def test_the_order_of_the_scores_does_not_matter() -> None:
    results = home()
    backwards = replace(results, scores=results.scores[::-1])
    first, second = (resample_scores(item, resample_count=20) for item in (results, backwards))
    assert list(first) == list(second)
    assert all((first[key].replicates == second[key].replicates).all() for key in first)


def test_cells_come_in_order_of_shots() -> None:
    scores = resample_scores(home(), resample_count=5)
    assert [cell.shots for cell in cells_of(scores, VARIANT, task("home"))] == [0, 2]


def test_items_that_share_a_source_are_drawn_together() -> None:
    results = home()
    grouped = replace(results, scores=tuple(replace(scores, groups=("a", "a", "", "b")) for scores in results.scores))
    score = resample_scores(grouped, resample_count=200)[ScoreKey(BASE, Cell("home", 1, 0, 0), "accuracy")]
    assert score.units.tolist() == [0, 0, 1, 2]
    assert not score.has_independent_items
    # Units hold 1 of 2, 0 of 1 and 1 of 1 right: three draws of them give these shares and no others.
    draws = itertools.product([(1, 2), (0, 1), (1, 1)], repeat=3)
    possible = {sum(right for right, _ in draw) / sum(size for _, size in draw) for draw in draws}
    assert set(np.round(score.replicates, 9)) <= {round(share, 9) for share in possible}
    assert len(set(score.replicates)) > 5


def without(results: StudyResults, variant: str, shots: int) -> StudyResults:
    kept = [item for item in results.scores if (item.variant, item.cell.shots) != (variant, shots)]
    return replace(results, scores=tuple(kept))


def changed(results: StudyResults, **changes: object) -> StudyResults:
    *rest, last = results.scores
    return replace(results, scores=(*rest, replace(last, **changes)))  # type: ignore[arg-type]


NAMES = ("home-0", "home-1", "home-2", "home-3")


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (without(home(), BASE, 2), r"accuracy of sft/home/8/0 on home \(form 1, 2 shots.*the base has no such score"),
        (without(home(), VARIANT, 2), r"accuracy of sft/home/8/0 on home \(form 1, 2 shots.*is missing; a mean over"),
        (changed(home(), example_ids=(*NAMES[:3], "home-9")), "not exactly those of the base, in the same order"),
        (changed(home(), example_ids=NAMES[::-1]), "not exactly those of the base, in the same order"),
        (changed(home(), example_ids=NAMES[:3]), "4 rows of statistics for 3 examples"),
        (changed(home(), example_ids=("home-0", "home-0", "home-2", "home-3")), "an example id occurs twice"),
        (changed(home(), groups=("a", "a")), "2 groups for 4 examples"),
        (changed(home(), groups=("a", "a", "b", "b")), "the examples have other groups than the base's"),
        (changed(home(), statistics=np.full((4, 2), np.inf)), "2 shots.*a statistic is not finite"),
        (changed(home(), metric="acuracy"), "describe no metric 'acuracy'"),
        (changed(home(), variant="other"), "describe no model 'other'"),
        (changed(home(), cell=Cell("away", 1, 0, 0)), "describe no tested task 'away'"),
        (replace(home(), relations={}), "no relation is given between this variant and this task"),
        (home(extra=(cell_scores(BASE, "home", 0, (1, 1, 1, 1)),)), "is given twice"),
    ],
)
def test_refuses_scores_that_cannot_be_compared(results: StudyResults, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resample_scores(results, resample_count=5)
