import numpy as np
import pytest

from spillover.questions.frontier.curves import CurvePoint, MatchedScore, matched_comparisons, retained_at, segments_of


def point(name, target, retained, *, plain=False, weakens=False, **settings):
    """Make a point from its values: over all items, then over each resample."""
    recipe = name.split("~")[0]
    return CurvePoint(
        name,
        recipe,
        {word: str(value) for word, value in settings.items()},
        weakens,
        plain,
        1,
        np.atleast_1d(np.asarray(target, dtype=float)),
        np.atleast_1d(np.asarray(retained, dtype=float)),
    )


BASE = point("base", 0.1, 0.9)


def names(segments):
    return [(first.name, second.name) for first, second in segments]


def at(target, points):
    return float(retained_at(np.array([target]), points, segments_of(points, BASE))[0])


def test_neighbours_in_one_number_are_joined_in_the_order_of_its_values():
    points = [point("c", 0, 0, rate="1e-3"), point("a", 0, 0, rate="1e-5"), point("b", 0, 0, rate="0.0001")]
    assert names(segments_of(points, BASE)) == [("a", "b"), ("b", "c")]


def test_a_grid_is_joined_along_each_number_and_words_join_nothing():
    grid = [point(f"{rate}{steps}", 0, 0, rate=rate, steps=steps, kind=kind) for rate in (1, 2) for steps in (3, 4)
            for kind in ("x",)]  # fmt: skip
    assert names(segments_of(grid, BASE)) == [("13", "23"), ("14", "24"), ("13", "14"), ("23", "24")]
    assert segments_of([point("a", 0, 0, kind="kl"), point("b", 0, 0, kind="none")], BASE) == []


def test_a_weight_interpolation_begins_at_the_base():
    points = [point("half", 0.5, 0.5, weakens=True, alpha=0.5)]
    assert names(segments_of(points, BASE)) == [("base", "half")]
    assert at(0.3, points) == pytest.approx(0.7)  # half way from (0.1, 0.9) to (0.5, 0.5)
    assert segments_of([point("graft", 0.5, 0.5, top=0.5)], BASE) == []


def test_between_two_points_the_retained_score_is_linear_in_the_target_score():
    points = [point("a", 0.4, 0.8, rate=1), point("b", 0.8, 0.4, rate=2)]
    assert at(0.5, points) == pytest.approx(0.7)
    assert at(0.4, points) == 0.8
    assert at(0.8, points) == pytest.approx(0.4)


@pytest.mark.parametrize("target", [0.39, 0.81])
def test_nothing_is_said_beyond_the_points(target):
    assert np.isnan(at(target, [point("a", 0.4, 0.8, rate=1), point("b", 0.8, 0.4, rate=2)]))


def test_where_a_curve_passes_a_target_score_twice_the_better_place_counts():
    points = [point("a", 0.2, 0.9, rate=1), point("b", 0.8, 0.6, rate=2), point("c", 0.4, 0.2, rate=3)]
    assert at(0.5, points) == pytest.approx(0.75)


def test_two_points_of_equal_target_score_are_reached_at_the_better_one():
    assert at(0.5, [point("a", 0.5, 0.3, rate=1), point("b", 0.5, 0.6, rate=2)]) == 0.6


def compare(*points, level=0.8):
    recipes = {}
    for item in points:
        recipes.setdefault(item.recipe, []).append(item)
    return matched_comparisons(
        recipes, {recipe: segments_of(own, BASE) for recipe, own in recipes.items()}, level=level
    )


# Over all items, then in three resamples.
SFT = point("sft", [0.6, 0.6, 0.7, 0.5], [0.3, 0.3, 0.2, 0.4], plain=True)
LOW = point("l2~rate=1", [0.4, 0.4, 0.4, 0.4], [0.8, 0.8, 0.8, 0.8], rate=1)
HIGH = point("l2~rate=2", [0.8, 0.8, 0.8, 0.6], [0.4, 0.4, 0.4, 0.4], rate=2)


def test_recipes_are_compared_at_the_plain_recipes_target_score_of_each_resample():
    (comparison,) = compare(SFT, LOW, HIGH, point("kl", [0.7] * 4, [0.9] * 4))
    assert comparison.at == "the score of sft"
    assert comparison.target.value == 0.6
    plain, curve, lone = comparison.scores
    assert (plain.retained.value, plain.difference.value, plain.difference.high) == (0.3, 0, None)
    # At 0.6, 0.6, 0.7 and 0.5 the line from (0.4, 0.8) to (0.8, 0.4), in the last resample to (0.6, 0.4).
    resampled = np.array([0.6, 0.5, 0.6])
    assert curve.retained.value == pytest.approx(0.6)
    assert (curve.retained.low, curve.retained.high) == pytest.approx(np.quantile(resampled, [0.1, 0.9]))
    assert curve.difference.value == pytest.approx(0.3)
    assert curve.difference.low == pytest.approx(np.quantile(resampled - [0.3, 0.2, 0.4], 0.1))
    assert (curve.lowest_target, curve.highest_target, curve.reached_share) == (0.4, 0.8, 1)
    assert lone == MatchedScore("kl", 0.7, 0.7, None, None, pytest.approx(1 / 3))


def test_without_a_level_there_is_no_interval():
    (comparison,) = compare(SFT, LOW, HIGH, level=None)
    assert (comparison.target.value, comparison.target.low, comparison.target.high) == (0.6, None, None)


def test_the_interval_is_over_the_resamples_that_reach_and_their_share_is_told():
    high = point("l2~rate=2", [0.8, 0.8, 0.65, 0.8], [0.4, 0.4, 0.4, 0.4], rate=2)
    ((_, curve),) = (comparison.scores for comparison in compare(SFT, LOW, high))
    assert curve.reached_share == pytest.approx(2 / 3)
    assert (curve.retained.low, curve.retained.high) == pytest.approx(np.quantile([0.6, 0.7], [0.1, 0.9]))


def test_two_curves_are_also_compared_at_the_largest_target_score_that_both_reach():
    short = point("kl~rate=1", [0.2] * 4, [0.5] * 4, rate=1), point("kl~rate=2", [0.6] * 4, [0.7] * 4, rate=2)
    at_plain, at_common = compare(SFT, LOW, HIGH, *short)
    assert [score.recipe for score in at_common.scores] == ["sft", "l2", "kl"]
    assert at_common.target.value == 0.6
    assert at_common.scores[1].retained.value == pytest.approx(0.6)
    assert at_common.scores[2].retained.value == pytest.approx(0.7)
    assert at_common.scores[1].reached_share == at_common.scores[2].reached_share == 1
    assert at_plain.scores[2].reached_share == pytest.approx(2 / 3)


def test_a_plain_recipe_at_its_default_goes_before_a_swept_one():
    swept = point("sft~rate=1", [0.5] * 4, [0.5] * 4, plain=True, rate=1)
    assert compare(swept, SFT, LOW, HIGH)[0].at == "the score of sft"
    assert compare(swept, LOW, HIGH)[0].at == "the score of sft~rate=1"


def test_without_a_plain_recipe_curves_are_compared_with_one_another_alone():
    other = point("kl~rate=1", [0.5] * 4, [0.5] * 4, rate=1), point("kl~rate=2", [0.7] * 4, [0.4] * 4, rate=2)
    (comparison,) = compare(LOW, HIGH, *other)
    assert comparison.at == "the largest score that every recipe with a curve reaches"
    assert {score.difference for score in comparison.scores} == {None}


def test_there_is_nothing_to_match_without_a_curve_or_without_a_second_recipe():
    assert compare(SFT, point("kl", [0.6] * 4, [0.5] * 4)) == ()
    assert compare(point("sft~rate=1", [0.5] * 4, [0.5] * 4, plain=True, rate=1),
                   point("sft~rate=2", [0.6] * 4, [0.5] * 4, plain=True, rate=2)) == ()  # fmt: skip
