"""What differences are said to be, by hand and over made studies in which nothing differs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from spillover.analysis.idle import idle_cells
from spillover.analysis.readings import Change, Subject, subject_of, subjects
from spillover.questions.generalization.verdicts import light
from spillover.records import BASE, Cell, CellScores, Relation, StudyResults, TaskCard, VariantCard
from spillover.statistics.cells import resample_scores
from tests.analysis.made_scores import METRICS, study, task

RELATIONS = {"home": Relation.IN_DOMAIN, "near": Relation.OUT_OF_DOMAIN, "far": Relation.CROSS_TASK}


def judged(results: StudyResults, *, resample_count: int = 2) -> tuple[Subject, ...]:
    scores = resample_scores(results, resample_count=resample_count)
    return subjects(results, scores, idle_cells(results, scores), level=0.95)


def right(count: int, share: float) -> list[float]:
    ones = round(count * share)
    return [1.0] * ones + [0.0] * (count - ones)


def made(
    base: Mapping[str, Sequence[float]],
    own: Mapping[str, Sequence[float]],
    relation: Relation | Mapping[str, Relation] = Relation.CROSS_TASK,
    *,
    floor: float = 0.25,
) -> StudyResults:
    cards = [replace(task(name), floors={"accuracy": floor}) for name in base]
    relations = relation if isinstance(relation, Mapping) else dict.fromkeys(base, relation)
    scores = [{(name, 0): values for name, values in of.items()} for of in (base, own)]
    return study(scores[0], scores[1], relations, tasks=cards)


def test_p_values_are_adjusted_over_rows_and_tasks_and_a_task_that_is_a_row_counts_once() -> None:
    base = {name: right(100, 0.5) for name in ("home", "a", "b")}
    own = {"home": right(100, 0.6), "a": right(100, 0.42), "b": right(100, 0.47)}
    relations = {"home": Relation.IN_DOMAIN, "a": Relation.CROSS_TASK, "b": Relation.CROSS_TASK}
    (subject,) = judged(made(base, own, relations))
    assert [row.tasks for row in subject.rows] == [("home",), ("a", "b")]
    entries = [subject.rows[0], subject.rows[1], *subject.tasks[1:]]
    raw = [entry.mean.found.p_value or 0.0 for entry in entries]
    # 10, 8 and 3 changed in one direction each: exact McNemar, by the saddlepoint at most 5 % larger.
    for entry, changed in ((entries[0], 10), (entries[2], 8), (entries[3], 3)):
        assert entry.mean.found.p_value == pytest.approx(stats.binomtest(changed, changed).pvalue, rel=0.06)
    order = np.argsort(raw)
    stepped = np.maximum.accumulate([raw[index] * (4 - rank) for rank, index in enumerate(order)])
    expected = dict(zip(order.tolist(), stepped.clip(max=1), strict=True))
    assert [entry.adjusted_p_value for entry in entries] == [pytest.approx(expected[index]) for index in range(4)]


def test_a_mean_holds_scores_of_one_kind_alone() -> None:
    cards = [task("a"), task("b", metric="loss"), task("c")]
    scores = {("a", 0): right(40, 0.5), ("b", 0): [2.0] * 20 + [3.0] * 20, ("c", 0): right(40, 0.5)}
    results = study(scores, scores, dict.fromkeys("abc", Relation.CROSS_TASK), tasks=cards)
    (subject,) = judged(results)
    assert [(row.metric.kind, row.tasks) for row in subject.rows] == [("accuracy", ("a", "c")), ("loss", ("b",))]


def test_cells_that_cannot_lose_do_not_dilute_what_was_lost() -> None:
    base = {"able": right(400, 0.8), "nothing": right(400, 0.25)}
    (subject,) = judged(made(base, {**base, "able": right(400, 0.77)}))
    (row,) = subject.rows
    assert row.mean.difference == pytest.approx(-0.015)
    assert row.can_lose is not None
    assert row.can_lose.difference == pytest.approx(-0.03)
    assert row.largest_loss == pytest.approx(subject.tasks[0].largest_loss)
    assert subject.tasks[1].can_lose is None
    assert subject.tasks[1].change is Change.IDLE


def test_a_gain_up_to_the_floor_is_none() -> None:
    base = {"t": right(400, 0.0)}
    for share, change in ((0.24, Change.IDLE), (0.4, Change.GAINED)):
        (subject,) = judged(made(base, {"t": right(400, share)}))
        assert subject.rows[0].is_significant
        assert subject.rows[0].change is change


def test_where_any_task_may_be_its_own_what_was_lost_is_asked_without_the_one_that_gained_most() -> None:
    base = {"a": right(400, 0.5), "b": right(400, 0.5), "c": right(400, 0.5)}
    own = {"a": right(400, 0.9), "b": right(400, 0.49), "c": right(400, 0.49)}
    (unstated,), (cross,) = (judged(made(base, own, relation)) for relation in (Relation.UNSTATED, Relation.CROSS_TASK))
    assert unstated.rows[0].can_lose is not None
    assert unstated.rows[0].can_lose.difference == pytest.approx(-0.01)
    assert unstated.rows[0].mean.difference == cross.rows[0].mean.difference == pytest.approx(0.38 / 3)
    assert cross.rows[0].largest_loss is not None
    assert cross.rows[0].largest_loss < 0 < (unstated.rows[0].largest_loss or 0)


def test_a_recipe_of_several_seeds_is_one_subject_whose_scatter_counts() -> None:
    cards = tuple(
        VariantCard(id=f"sft/home/8/{seed}", name="sft", trained_on="home", size=8, seed=seed, recipe={})
        for seed in range(3)
    )
    base = study({("far", 0): right(400, 0.5)}, {("far", 0): right(400, 0.5)}, {"far": Relation.CROSS_TASK})
    own = [
        replace(base.scores[1], variant=card.id, statistics=np.column_stack([right(400, share), np.ones(400)]))
        for card, share in zip(cards, (0.3, 0.4, 0.5), strict=True)
    ]
    results = replace(
        base,
        variants=cards,
        relations={(card.id, "far"): Relation.CROSS_TASK for card in cards},
        scores=(base.scores[0], *own),
    )
    (subject,) = judged(results, resample_count=400)
    (row,) = subject.rows
    assert subject.name == "sft/home/8"
    assert row.mean.seed_values == pytest.approx((-0.2, -0.1, 0.0))
    assert row.mean.scatter is not None
    # Student's t of three seeds of deviation 0.1: 4.30 * 0.1 / sqrt(3) = 0.25; a single one of them excludes zero.
    assert row.mean.found.low is not None
    assert row.mean.found.low < -0.1 - 0.24
    assert row.change is Change.UNCLEAR
    alone = subject_of(results, resample_scores(results, resample_count=400), cards[0], level=0.95)
    assert alone.rows[0].mean.found.high is not None
    assert alone.rows[0].mean.found.high < 0
    assert alone.rows[0].adjusted_p_value is None


NOTHING_DIFFERS = 0.05
"""Share of studies with any false word that is promised at the most, where nothing differs."""


def null_study(seed: int, *, seeds: int = 1, deviation: float = 0.0, task_count: int = 1) -> StudyResults:
    """Build 12 variants (or 12 / ``seeds`` recipes) on 3 relations of 250 items each, right as often as the base.

    Args:
        seed: Of the study.
        seeds: Training seeds of each recipe.
        deviation: Of a seed's true share of right answers around the base's.
        task_count: Tasks that a relation's items are divided among.
    """
    draw, count = np.random.default_rng(seed), 250 // task_count
    cards = tuple(
        VariantCard(
            id=f"v{index // seeds}/home/8/{index % seeds}",
            name=f"v{index // seeds}",
            trained_on="home",
            size=8,
            seed=index % seeds,
            recipe={},
        )
        for index in range(12)
    )
    tasks = {f"{name} {index}": relation for name, relation in RELATIONS.items() for index in range(task_count)}
    scores = []
    for name in tasks:
        ids, easy = tuple(f"{name}-{index}" for index in range(count)), draw.beta(2, 1.5, count)
        for model in (BASE, *(card.id for card in cards)):
            share = easy + (0.0 if model == BASE else draw.normal(0, deviation))
            values = np.column_stack([draw.random(count) < share, np.ones(count)]).astype(np.float64)
            scores.append(CellScores(model, Cell(name, 1, 0, 0), "accuracy", ids, values))
    return StudyResults(
        "null",
        {},
        cards,
        tuple(
            TaskCard(name, "f", name, ("a", "b"), "accuracy", count, 0.5, {}, floors={"accuracy": 0.5})
            for name in tasks
        ),
        {(card.id, name): relation for card in cards for name, relation in tasks.items()},
        METRICS,
        tuple(scores),
        (),
        (),
        {},
    )


def false_studies(count: int, **options: object) -> tuple[int, Counter[str]]:
    """Return in how many of ``count`` null studies anything is said to have been gained or lost, and all lights."""
    false, lights = 0, Counter[str]()
    for seed in range(count):
        found = judged(null_study(seed, **options), resample_count=50 if options.get("seeds") else 2)  # type: ignore[arg-type]
        changes = {entry.change for subject in found for entry in (*subject.rows, *subject.tasks)}
        false += bool(changes & {Change.GAINED, Change.LOST})
        lights.update(light(subject, 0.02) for subject in found)
    return false, lights


@pytest.mark.parametrize(
    ("task_count", "count"),
    [(1, 200), (3, 30), *(pytest.param(tasks, 1000, marks=pytest.mark.long) for tasks in (1, 3))],
)
def test_where_nothing_differs_few_studies_say_that_anything_does(count: int, task_count: int) -> None:
    false, lights = false_studies(count, task_count=task_count)
    assert false <= stats.binom.ppf(0.999, count, NOTHING_DIFFERS)
    assert lights["loses"] + lights["mixed"] <= false * 12
    assert lights["keeps"] < lights["unclear"]  # 250 items do not show that less than 0.02 was lost


@pytest.mark.long
def test_seeds_that_scatter_without_an_effect_are_seldom_taken_for_one() -> None:
    # 4 recipes of 3 seeds whose true shares have a deviation of 0.02: a single seed does differ, the recipe does not.
    false, _ = false_studies(500, seeds=3, deviation=0.02)
    assert false <= stats.binom.ppf(0.999, 500, NOTHING_DIFFERS)


def test_a_loss_that_is_there_is_found_among_a_dozen_variants() -> None:
    """The guard against false words leaves a loss of 0.2 on 250 items nowhere to hide."""
    found = 0
    for seed in range(20):
        results = null_study(seed)
        hurt = results.variants[5].id
        scores = tuple(
            replace(row, statistics=row.statistics * [[1 - (index % 3 == 0), 1] for index in range(250)])
            if row.variant == hurt and row.cell.tested_on == "far 0"
            else row
            for row in results.scores
        )
        lights = {subject.name: light(subject, 0.02) for subject in judged(replace(results, scores=scores))}
        found += lights[hurt] in ("loses", "mixed")
    assert found >= 18
