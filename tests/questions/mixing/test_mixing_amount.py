import math
from dataclasses import replace

import numpy as np
import pytest
from statsmodels.regression.linear_model import OLS

from spillover.questions.mixing.amount import _fitted, rows_needed
from tests.questions.mixing.made_mixing import MadeArm, found, mixed_study, right

BASE_SCORES = {"home": right(0, 20)}


def alone(size, home, coverage=1.0, **facts):
    return MadeArm("alone", "alone", {"home": right(home, 20)}, {"coverage": coverage, **facts}, size=size)


def mixed(size, home, coverage=1.0, general_rows=8):
    rows = {"home": size, "talk": general_rows}
    facts = {"general": ["talk"], "general_rows": general_rows, "coverage": coverage, "rows": rows}
    return MadeArm(f"general-{general_rows}", "target+general", {"home": right(home, 20)}, facts, size=size)


def test_the_rows_needed_are_interpolated_on_the_logarithm_and_the_first_crossing_counts():
    curve = np.array([[0.2], [0.6], [0.4], [0.8]])
    needed = [float(rows_needed([10, 40, 80, 160], curve, np.array([score]))[0]) for score in (0.4, 0.6, 0.7, 0.1, 0.9)]
    assert needed == pytest.approx([20, 40, 80 * 2**0.75, 10, math.inf])


def test_the_data_efficiency_factor_is_that_of_hand_arithmetic():
    # Alone: 4 of 20 at 10 rows, 12 of 20 at 40. The mixture at 10 rows: 8 of 20, half way: 20 rows alone, so twice.
    (item,) = found(mixed_study(BASE_SCORES, [alone(10, 4), alone(40, 12), mixed(10, 8)])).efficiencies
    assert item.factor == pytest.approx(2)
    assert not item.is_bound
    assert (item.smallest_rows, item.largest_rows) == (10, 40)
    assert item.low <= 2 <= item.high


def test_a_mixture_that_the_target_alone_does_not_reach_has_no_factor():
    (item,) = found(mixed_study(BASE_SCORES, [alone(10, 4), alone(40, 12), mixed(10, 20)])).efficiencies
    assert (item.factor, item.high, item.low) == (None, None, 4.0)


def test_a_factor_from_too_few_items_has_no_interval():
    made = ((alone(10, 0), 2), (alone(40, 0), 6), (mixed(10, 0), 4))
    arms = [replace(arm, scores={"home": right(count, 8)}) for arm, count in made]
    (item,) = found(mixed_study({"home": right(0, 8)}, arms)).efficiencies
    assert (item.factor, item.low, item.high) == (pytest.approx(2), None, None)


def test_a_factor_below_the_smallest_size_is_a_bound():
    items = found(mixed_study(BASE_SCORES, [alone(10, 4), alone(40, 12), mixed(40, 3)])).efficiencies
    assert [(item.factor, item.is_bound) for item in items] == [(0.25, True)]


def test_a_factor_that_is_the_same_in_every_resample_has_no_interval():
    (item,) = found(mixed_study(BASE_SCORES, [alone(10, 20), alone(40, 20), mixed(40, 20)])).efficiencies
    assert (item.factor, item.is_bound, item.low, item.high) == (0.25, True, None, None)


def test_one_size_has_no_factor():
    assert found(mixed_study(BASE_SCORES, [alone(10, 4), mixed(10, 8)])).efficiencies == ()


def grid():
    """Return 18 arms whose scores are exactly linear in the terms, in twentieths."""
    arms = []
    for size in (8, 32, 128):
        for coverage in (1.0, 3.0):
            for general_rows in (0, size, 3 * size):
                score = 2 + math.log2(size) + (general_rows > 0) * (coverage * 4 / 3 + 5 - math.log2(size) / 2)
                make = alone if not general_rows else mixed
                extra = {} if not general_rows else {"general_rows": general_rows}
                one = make(size, 0, coverage, **extra)
                group = {"added": ["second"]} if coverage > 1 else {}
                scores = {"home": [score / 20] * 20}
                name = f"{one.name}-{coverage}-{general_rows > size}"
                arms.append(MadeArm(name, one.kind, scores, {**one.facts, **group}, size=size))
    return arms


def test_the_regression_finds_planted_coefficients():
    (item,) = found(mixed_study(BASE_SCORES, grid()), resample_count=5).interactions
    values = {term.term: term.value for term in item.coefficients}
    assert values == pytest.approx(
        {
            "constant": 0.1,
            "log rows": 1 / (20 * math.log(2)),
            "general data": 0.25,
            "coverage": 0,
            "general data × coverage": 1 / 15,
            "general data × log rows": -1 / (40 * math.log(2)),
        },
        abs=1e-9,
    )
    assert item.arm_count == 18
    assert item.sentence == (
        "18 arms for 6 terms: 12 to judge the noise by."
        " Amounts of general data (8, 24, 32, 96, 128, 384 rows) count alike."
    )


def test_a_gain_that_is_the_same_at_every_size_is_no_interaction_with_it():
    arms = [one for size in (8, 16, 64) for one in (alone(size, 0), mixed(size, 0, general_rows=24))]
    gained = [
        replace(arm, scores={"home": [(4 + math.log2(arm.size) + 3 * (arm.kind != "alone")) / 20] * 20}) for arm in arms
    ]
    (item,) = found(mixed_study(BASE_SCORES, gained), resample_count=5).interactions
    values = {term.term: term.value for term in item.coefficients}
    assert values["general data"] == pytest.approx(0.15)
    assert values["general data × log rows"] == pytest.approx(0, abs=1e-9)


def test_arms_of_another_recipe_have_a_regression_of_their_own():
    arms = [one for size in (8, 16, 64) for one in (alone(size, 4), mixed(size, 6))]
    results = mixed_study(BASE_SCORES, [*arms, *(replace(arm, name=f"lora-{arm.name}") for arm in arms)])
    cards = (
        replace(card, recipe={"parameters": "lora"} if card.name.startswith("lora-") else {})
        for card in results.variants
    )
    items = found(replace(results, variants=tuple(cards)), resample_count=5).interactions
    assert [item.arm_count for item in items] == [6, 6]


def test_the_intervals_of_the_regression_are_those_of_least_squares_by_hand():
    draw = np.random.default_rng(0)
    arms = [
        MadeArm(a.name, a.kind, {"home": [a.scores["home"][0] + e] * 20}, a.facts, size=a.size)
        for a, e in zip(grid(), draw.normal(0, 0.02, 18), strict=True)
    ]
    (item,) = found(mixed_study(BASE_SCORES, arms), resample_count=5).interactions
    rows = np.array([[a.size, a.facts.get("general_rows", 0), a.facts["coverage"]] for a in arms])
    added, logs = (rows[:, 1] > 0).astype(float), np.log(rows[:, 0])
    design = np.column_stack([np.ones(18), added, logs, added * logs, rows[:, 2], added * rows[:, 2]])
    target = np.array([a.scores["home"][0] for a in arms])
    inverse = np.linalg.inv(design.T @ design)
    weights = inverse @ design.T @ target
    variance = np.sum((target - design @ weights) ** 2) / 12
    half = 2.1788128 * np.sqrt(variance * np.diag(inverse))  # t of 12 degrees of freedom at 0.975, from a table
    names = [
        "constant",
        "general data",
        "log rows",
        "general data × log rows",
        "coverage",
        "general data × coverage",
    ]
    by_term = {term.term: term for term in item.coefficients}
    assert [by_term[name].value for name in names] == pytest.approx(weights)
    assert [by_term[name].high for name in names] == pytest.approx(weights + half, rel=1e-5)


@pytest.mark.parametrize(("seed", "level", "noise"), [(0, 0.95, 0.02), (1, 0.8, 0.3), (2, 0.99, 1e-6)])
def test_the_regression_is_that_of_statsmodels(seed, level, noise):
    draw = np.random.default_rng(seed)
    terms = {"constant": np.ones(9), "log rows": np.log(draw.integers(8, 4096, 9)), "share": draw.random(9) * 1e-3}
    values = 0.1 * terms["log rows"] + draw.normal(0, noise, 9)
    fit = OLS(values, np.column_stack(list(terms.values()))).fit()
    found = _fitted(terms, values, level)
    assert [term.term for term in found] == list(terms)
    assert [term.value for term in found] == pytest.approx(fit.params, rel=1e-9)
    assert [(term.low, term.high) for term in found] == [
        pytest.approx(tuple(ends), rel=1e-8) for ends in fit.conf_int(alpha=1 - level)
    ]


def test_too_few_arms_are_said_and_not_fitted():
    (item,) = found(mixed_study(BASE_SCORES, [alone(10, 4), alone(40, 12), mixed(10, 8), mixed(40, 8)])).interactions
    assert item.coefficients == ()
    assert item.sentence == (
        "No test of interactions: 4 arms for 4 terms, and it needs more arms than terms."
        " Left out, because it did not vary: coverage."
    )


def test_terms_that_move_together_are_said_and_not_fitted():
    arms = [make(size, 4, float(size)) for size in (8, 16, 32, 64) for make in (alone, mixed)]
    arms = [MadeArm(a.name, a.kind, a.scores, {**a.facts, "coverage": math.log(a.size)}, size=a.size) for a in arms]
    (item,) = found(mixed_study(BASE_SCORES, arms), resample_count=5).interactions
    assert item.coefficients == ()
    assert item.sentence.endswith("8 arms for 6 terms, and it needs arms that vary each term by itself.")
