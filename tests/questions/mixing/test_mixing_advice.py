from dataclasses import replace

import pytest

from spillover.questions.mixing.advice import CONFIDENCE_RULE, RULE
from tests.analysis.made_scores import task
from tests.questions.mixing.made_mixing import MadeArm, found, mixed_study, right, validated, watched

N = 40
BASE_SCORES = {"home": right(4, N), "far": right(20, N)}


def arm(name, kind, home, far=16, seed=0, **facts):
    return MadeArm(name, kind, {"home": right(home, N), "far": right(far, N)}, facts, seed=seed)


ALONE = arm("alone", "alone", 10)
GOOD = arm("with-good", "pair", 30, added=["good"])
DULL = arm("with-dull", "pair", 11, added=["dull"])
BAD = arm("with-bad", "pair", 1, added=["bad"])
MATCHED = arm("with-good-matched", "pair", 25, added=["good"], budget="matched")


def only(*arms):
    (item,) = found(mixed_study(BASE_SCORES, arms)).recommendations
    return item


def test_what_helps_is_recommended_with_its_numbers_and_what_hurts_is_named():
    item = only(ALONE, DULL, GOOD, BAD)
    assert (item.added, item.confidence, item.arm_count) == ("good", "low", 3)
    assert item.gain.mean == pytest.approx(0.5)
    assert item.sentence.startswith("add good: +0.50 [")
    assert "on home, costs nothing measurable elsewhere (±0.00 [−0.09, 0.09] on tasks not seen)" in item.sentence
    assert "no arm had as many rows without it, so more steps may explain the gain" in item.sentence
    (worse,) = item.clearly_worse
    assert worse.startswith("bad (−0.23 [")


def test_what_is_kept_of_general_text_stands_beside_the_cost_where_both_trainings_were_watched_on_text_held_out():
    alone, good = watched(ALONE, (2.0, 0.0), (2.5, 0.2)), watched(GOOD, (2.0, 0.0), (2.0625, 0.1))
    words = "; its loss on general text changes by +0.062 nats a token, that of the target alone by +0.500; no arm had"
    assert words in only(alone, good).sentence
    for unsaid in ((alone, GOOD), (ALONE, good), (alone, watched(GOOD, (2.0, 0.0), (2.1, 0.1), reads=True))):
        assert "general text" not in only(*unsaid).sentence


def test_intervals_are_widened_for_the_number_of_arms():
    one, three = only(ALONE, GOOD), only(ALONE, GOOD, DULL, BAD)
    assert three.gain.low < one.gain.low < one.gain.high < three.gain.high


def test_where_no_interval_lies_above_zero_nothing_helps_and_the_largest_gain_left_is_said():
    item = only(ALONE, DULL)
    assert (item.added, item.confidence, item.gain) == ("", "none", None)
    assert item.sentence.startswith("nothing helps home clearly: the most that remains possible is +0.")
    assert item.sentence.endswith(", from dull")


def test_with_too_few_items_nothing_is_recommended_and_nothing_is_said_of_what_remains():
    arms = [
        MadeArm(name, kind, {"home": right(count, 8), "far": right(4, 8)}, {"added": added})
        for name, kind, count, added in (("alone", "alone", 1, []), ("with-good", "pair", 8, ["good"]))
    ]
    (item,) = found(mixed_study({"home": right(1, 8), "far": right(4, 8)}, arms)).recommendations
    assert (item.added, item.confidence) == ("", "none")
    assert item.sentence == (
        "nothing helps home clearly: too few items, or too few that differ, to say what remains possible"
    )


def test_a_cost_on_too_few_items_is_not_known():
    arms = [replace(one, scores={**one.scores, "far": right(4, 8)}) for one in (ALONE, GOOD)]
    (item,) = found(mixed_study({**BASE_SCORES, "far": right(4, 8)}, arms)).recommendations
    assert "what it costs elsewhere is not known (±0.00 (no interval) on tasks not seen)" in item.sentence


def test_only_harm_leaves_nothing_possible():
    item = only(ALONE, BAD)
    assert item.sentence == "nothing helps home clearly"
    assert item.clearly_worse[0].startswith("bad (")


def test_a_gain_at_as_many_rows_raises_the_confidence_and_three_seeds_that_agree_raise_it_again():
    moderate = only(ALONE, GOOD, MATCHED)
    assert moderate.confidence == "moderate"
    assert moderate.arm_count == 1  # the matched form is no arm of its own
    assert "at as many rows still +0.38 [" in moderate.sentence
    seeds = [replace(one, seed=seed) for seed in (0, 1, 2) for one in (ALONE, GOOD, MATCHED)]
    assert only(*seeds).confidence == "high"
    worse = [
        replace(one, scores={**one.scores, "home": right(9, N)}) if one.seed == 2 and one.kind == "pair" else one
        for one in seeds
    ]
    assert only(*worse).confidence == "none"  # of three seeds that disagree a fourth may lose


def test_a_gain_that_vanishes_at_as_many_rows_stays_of_low_confidence():
    item = only(ALONE, GOOD, arm("with-good-matched", "pair", 10, added=["good"], budget="matched"))
    assert item.confidence == "low"
    assert "at as many rows ±0.00 [−0.09, 0.09], so more steps may explain the gain" in item.sentence


def test_a_clear_cost_and_a_clear_benefit_elsewhere_are_said():
    costly = only(ALONE, replace(GOOD, scores={**GOOD.scores, "far": right(4, N)}))
    assert "costs −0.30 [" in costly.sentence
    kinder = only(ALONE, replace(GOOD, scores={**GOOD.scores, "far": right(30, N)}))
    assert "and keeps more elsewhere (+0.35 [" in kinder.sentence
    seen = replace(GOOD, facts={"added": ["far"]})
    assert "what it costs elsewhere was not measured" in only(ALONE, seen).sentence


def test_general_data_beside_a_task_that_is_answered_from_memory_is_warned_of():
    talk = arm("target+general", "target+general", 30, general=["talk"], general_rows=8)
    warning = "; the facts it asks for are not in the prompt: wrong ones in general data would lower it"
    for closed_book, added, is_warned in ((True, talk, True), (True, GOOD, False), (False, talk, False)):
        cards = [replace(task("home"), is_closed_book=closed_book)]
        (item,) = found(mixed_study(BASE_SCORES, [ALONE, added], tasks=cards)).recommendations
        assert (warning in item.sentence) is is_warned


def test_what_validation_chose_is_compared_alone_and_said_beside_the_mix_fixed_beforehand():
    whole = arm("all", "all", 20, added=["good", "dull"])
    losses = {"alone": 0.6, "with-dull": 0.2, "with-good": 0.5, "all": 0.4}
    study = [validated(one, losses[one.name]) for one in (ALONE, DULL, GOOD, whole)]
    item = only(*study)
    assert (item.arm_count, item.added, item.also_clear) == (1, "", ())  # though good scored higher on test rows
    assert item.sentence.startswith("nothing helps home clearly: dull, chosen on validation rows, gives +0.03 [")
    assert "; all tasks, the mix fixed beforehand, give +0.25 [" in item.sentence
    losses |= {"with-good": 0.1}
    item = only(*(validated(one, losses[one.name]) for one in (ALONE, DULL, GOOD, whole)))
    assert item.sentence.startswith("add good, chosen on validation rows: +0.50 [")
    assert item.gain.low == pytest.approx(only(ALONE, GOOD).gain.low)  # of a single arm, hence not widened
    losses |= {"alone": 0.05, "all": 0.01}
    item = only(*(validated(one, losses[one.name]) for one in (ALONE, DULL, GOOD, whole)))
    assert item.sentence.endswith("; that is all tasks, the mix fixed beforehand")
    losses |= {"alone": 0.001}
    item = only(*(validated(one, losses[one.name]) for one in (ALONE, DULL, GOOD, whole)))
    assert item.sentence.endswith("; on validation rows the target alone is better still")


def test_one_mixture_under_two_names_is_one_arm():
    twin = arm("all-but-dull", "all-but", 30, added=["good"], left_out="dull")
    item = only(ALONE, GOOD, twin)
    assert item.arm_count == 1
    assert item.also_clear == ()
    assert only(ALONE, GOOD, arm("with-better", "pair", 29, added=["better"])).also_clear == ("better",)


def test_the_rule_names_what_decides():
    assert "1 − (1 − level) / m" in RULE
    assert "at least 3 training seeds" in CONFIDENCE_RULE
