from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from spillover.questions.frontier.frontier import Frontier, FrontierPoint, frontiers, harmonic_mean, on_front
from spillover.records import BASE, Relation, StudyResults, VariantCard
from spillover.statistics.cells import resample_scores
from spillover.statistics.paired import content_seed, resample_counts
from tests.analysis.made_scores import METRICS, cell_scores, task

Values = Sequence[float]
RELATIONS = {"home": Relation.IN_DOMAIN, "near": Relation.OUT_OF_DOMAIN, "far": Relation.CROSS_TASK}


def planted(scores: Mapping[str, Mapping[str, Values]], *, plain: Sequence[str] = ("sft/home/8/0",)) -> StudyResults:
    """Build a study from (variant id or base) to tested task to one score per item; who is not plain is masked."""
    cards = tuple(
        VariantCard(id=name, **_parts(name), recipe={} if name in plain else {"constraint": {"kind": "spider"}})
        for name in scores
        if name != BASE
    )
    tasks = list(scores[BASE])
    return StudyResults(
        name="planted",
        base={},
        variants=cards,
        tasks=tuple(task(name) for name in tasks),
        relations={(card.id, name): RELATIONS[name] for card in cards for name in tasks},
        metrics=METRICS,
        scores=tuple(cell_scores(model, name, 0, own[name]) for model, own in scores.items() for name in tasks),
        prompts=(),
        skipped=(),
        provenance={},
    )


def _parts(name: str) -> dict[str, Any]:
    recipe, trained_on, size, seed = name.split("/")
    return {"name": recipe, "trained_on": trained_on, "size": int(size), "seed": int(seed)}


def only(results: StudyResults, *, resample_count: int = 200) -> Frontier:
    (found,) = frontiers(results, resample_scores(results, resample_count=resample_count), level=0.9)
    return found


def by_name(frontier: Frontier) -> dict[str, FrontierPoint]:
    return {point.name: point for point in frontier.points}


def flat(target: float, retained: float) -> dict[str, Values]:
    """Every item scored alike, so that every resample gives the same means."""
    return {"home": [target] * 4, "near": [retained] * 3}


def test_scores_and_means_are_those_of_hand_arithmetic():
    found = only(
        planted(
            {
                BASE: {"home": [0, 0, 1, 1], "near": [1, 0], "far": [1, 1, 0, 0]},
                "sft/home/8/0": {"home": [1, 1, 1, 0], "near": [0, 0], "far": [1, 0, 0, 0]},
                "spider/home/8/0": {"home": [1, 0, 1, 0], "near": [1, 1], "far": [1, 1, 0, 0]},
            }
        )
    )
    assert (found.trained_on, found.size) == ("home", 8)
    base, sft, spider = found.points
    assert (base.name, base.target.value, base.retained.value) == (BASE, 0.5, 0.5)
    assert (sft.target.value, sft.retained.value) == (0.75, 0.125)
    assert sft.harmonic.value == pytest.approx(2 * 0.75 * 0.125 / 0.875)
    assert sft.arithmetic.value == pytest.approx(0.4375)
    assert (sft.gain.value, sft.change.value) == (0.25, -0.375)
    assert (spider.target.value, spider.retained.value) == (0.5, 0.75)
    assert [point.is_on_front for point in found.points] == [False, True, True]


def test_the_front_leaves_out_who_is_beaten_and_keeps_equals():
    scores = {
        BASE: flat(0.2, 0.9),
        "best/home/8/0": flat(0.8, 0.8),
        "twin/home/8/0": flat(0.8, 0.8),
        "beaten/home/8/0": flat(0.8, 0.7),
        "worst/home/8/0": flat(0.1, 0.1),
        "greedy/home/8/0": flat(0.9, 0.3),
    }
    points = by_name(only(planted(scores)))
    on = {name for name, point in points.items() if point.is_on_front}
    assert on == {BASE, "best", "twin", "greedy"}
    assert {name for name, point in points.items() if point.front_share == 1} == on
    assert {point.front_share for point in points.values()} == {0, 1}


def test_membership_is_that_of_brute_force():
    targets, retained = np.random.default_rng(0).integers(0, 4, (2, 6, 50)) / 4
    member = on_front(targets, retained)
    for column in range(50):
        points = list(zip(targets[:, column], retained[:, column], strict=True))
        for index, (target, kept) in enumerate(points):
            beaten = any(t >= target and s >= kept and (t, s) != (target, kept) for t, s in points)
            assert member[index, column] == (not beaten)


def test_resamples_are_joint_so_that_a_variant_better_on_every_item_is_always_better():
    # One is better than the other by the same step on each item: marginal intervals overlap, the order never changes.
    items = np.linspace(0, 0.8, 12)
    scores = {
        BASE: {"home": items * 0, "near": items},
        "low/home/8/0": {"home": items, "near": items},
        "high/home/8/0": {"home": items + 0.01, "near": items},
    }
    points = by_name(only(planted(scores)))
    assert points["high"].front_share == 1
    assert points["low"].front_share == 0
    assert points["low"].target.high > points["high"].target.low


def test_the_share_of_resamples_is_counted_over_the_resamples_of_the_items():
    home = [[1.0, 0.0, 0.0, 1.0] * 3, [0.0, 1.0, 1.0, 0.0] * 3]
    scores = {
        BASE: {"home": [0] * 12, "near": [0] * 12},
        "one/home/8/0": {"home": home[0], "near": [1] * 12},
        "two/home/8/0": {"home": home[1], "near": [1] * 12},
    }
    points = by_name(only(planted(scores), resample_count=300))
    order = sorted(range(12), key=lambda index: f"home-{index}")  # as items are numbered
    ids = [f"home-{index}" for index in order]
    counts = resample_counts(12, seed=content_seed("home", *ids), resample_count=300)
    means = counts @ np.array(home)[:, order].T / 12
    assert points["one"].front_share == pytest.approx(float((means[:, 0] >= means[:, 1]).mean()))
    assert points["two"].front_share == pytest.approx(float((means[:, 1] >= means[:, 0]).mean()))
    tail = stats.norm.cdf(np.sqrt(12 / 11) * stats.t.ppf(0.05, 11))  # expanded for twelve items
    low, high = np.quantile(means[:, 0], [tail, 1 - tail])
    assert (points["one"].target.low, points["one"].target.high) == pytest.approx((low, high))
    assert (points["one"].retained.low, points["one"].retained.high) == (None, None)  # never varies


def test_a_task_of_few_items_leaves_the_frontier_without_intervals():
    scores = {
        name: {"home": np.linspace(0, top, 12), "near": np.linspace(0, 0.5, 9)}
        for name, top in ((BASE, 0.5), ("one/home/8/0", 0.8), ("two/home/8/0", 0.9))
    }
    points = by_name(only(planted(scores)))
    assert (points["one"].target.low, points["one"].harmonic.high) == (None, None)


def test_training_seeds_of_a_recipe_are_one_point():
    scores = {
        BASE: flat(0.1, 0.5),
        "sft/home/8/0": flat(0.4, 0.5),
        "sft/home/8/1": flat(0.6, 0.3),
        "spider/home/8/0": flat(0.3, 0.5),
    }
    points = by_name(only(planted(scores, plain=("sft/home/8/0", "sft/home/8/1"))))
    assert list(points) == [BASE, "sft", "spider"]
    assert (points["sft"].target.value, points["sft"].retained.value, points["sft"].seed_count) == (0.5, 0.4, 2)
    assert points["spider"].seed_count == 1


def test_recipes_meet_only_where_task_and_size_are_the_same():
    scores = {BASE: flat(0, 0), "sft/home/8/0": flat(1, 1), "spider/home/16/0": flat(1, 1)}
    results = planted(scores)
    assert frontiers(results, resample_scores(results, resample_count=5), level=0.9) == ()


def test_there_is_no_frontier_where_only_one_side_was_tested():
    scores = {BASE: flat(0, 0), "sft/home/8/0": flat(1, 1), "spider/home/8/0": flat(1, 1)}
    results = planted(scores)
    resampled = resample_scores(results, resample_count=5)
    everywhere_home = replace(results, relations=dict.fromkeys(results.relations, Relation.IN_DOMAIN))
    nowhere_home = replace(results, relations=dict.fromkeys(results.relations, Relation.CROSS_TASK))
    assert frontiers(everywhere_home, resampled, level=0.9) == ()
    assert frontiers(nowhere_home, resampled, level=0.9) == ()


def test_a_harmonic_mean_with_zero_is_zero_and_between_other_scores_below_the_arithmetic():
    assert harmonic_mean(np.array([0.0, 0.0, 0.5]), np.array([0.0, 0.9, 1.0])) == pytest.approx([0, 0, 2 / 3])


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")])
def test_a_harmonic_mean_of_what_is_no_score_is_refused(bad):
    with pytest.raises(ValueError, match=r"finite scores from zero up, got .*primary metric between 0 and 1"):
        harmonic_mean(np.array([0.5, bad]), np.array([0.5, 0.5]))


def test_a_mixture_is_not_the_plain_recipe_that_others_are_matched_with():
    values = {BASE: (0, 1), "mixed/home/8/0": (0.75, 0.5), "sft/home/8/0": (0.5, 0.5)}
    values |= {f"wise@alpha={alpha}/home/8/0": (alpha, 1 - alpha) for alpha in (0.25, 0.5, 0.75)}
    results = planted({name: flat(*pair) for name, pair in values.items()}, plain=("mixed/home/8/0", "sft/home/8/0"))
    mixture = {"arm": "mixture", "target": "home"}
    mixed = (replace(card, mixture=mixture) if card.name == "mixed" else card for card in results.variants)
    curves = (
        replace(card, recipe={"afterwards": {"kind": "interpolate"}}) if "wise" in card.name else card for card in mixed
    )
    (comparison,) = only(replace(results, variants=tuple(curves))).matched
    assert comparison.at == "the score of sft"


def test_in_domain_against_out_of_domain_has_a_front_of_its_own():
    scores = {
        BASE: {"home": [0.25] * 4, "near": [0.5] * 3, "far": [0.5] * 3},
        "sft/home/8/0": {"home": [0.75] * 4, "near": [0.25] * 3, "far": [0.75] * 3},
        "mask/home/8/0": {"home": [0.5] * 4, "near": [0.75] * 3, "far": [0.0] * 3},
    }
    points = by_name(only(planted(scores)))
    assert {name: point.domain_change.value for name, point in points.items()} == {
        **{BASE: 0.0, "sft": -0.25, "mask": 0.25},
    }
    assert {name for name, point in points.items() if point.is_on_domain_front} == {"sft", "mask"}
    assert {name for name, point in points.items() if point.is_on_front} == {"sft"}


def test_where_all_that_is_retained_is_out_of_domain_there_is_no_second_front():
    found = only(planted({BASE: flat(0.25, 0.5), "sft/home/8/0": flat(0.5, 0.25), "mask/home/8/0": flat(0.25, 0.5)}))
    assert {(point.domain_change, point.is_on_domain_front) for point in found.points} == {(None, False)}


def test_a_classifier_that_was_asked_fewer_tasks_has_a_point_over_the_tasks_that_all_were_asked():
    scores = {
        BASE: {"home": [0, 0, 1, 1], "near": [1, 0], "far": [1, 1, 0, 0]},
        "sft/home/8/0": {"home": [1, 1, 1, 0], "near": [0, 0], "far": [1, 0, 0, 0]},
        "slm/home/8/0": {"home": [1, 1, 1, 1], "near": [1, 1], "far": [0, 0, 0, 0]},
    }
    everything = planted(scores)

    def without(*tasks):
        lost = {("slm/home/8/0", task) for task in tasks}
        return replace(
            everything,
            variants=tuple(replace(card, is_classifier=card.name == "slm") for card in everything.variants),
            relations={pair: held for pair, held in everything.relations.items() if pair not in lost},
            scores=tuple(row for row in everything.scores if (row.variant, row.cell.tested_on) not in lost),
        )

    fewer = only(without("far"))
    near = {name: {task: own[task] for task in ("home", "near")} for name, own in scores.items()}
    wanted = only(planted(near))
    assert [(p.name, p.target, p.retained, p.change) for p in fewer.points] == [
        (p.name, p.target, p.retained, p.change) for p in wanted.points
    ]
    # With nothing retained it has no point, and the one that is left is no front.
    results = without("near", "far")
    assert frontiers(results, resample_scores(results, resample_count=50), level=0.9) == ()
