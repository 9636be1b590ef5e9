from dataclasses import replace

import pytest

from spillover.questions.mixing.arms import GeneralText
from spillover.questions.mixing.mixing import mixing
from spillover.records import BASE, Relation
from spillover.statistics.cells import resample_scores
from tests.analysis.made_scores import METRICS, cell_scores, task
from tests.questions.mixing.made_mixing import MadeArm, found, mixed_study, right, validated, watched

BASE_SCORES = {"home": right(2), "near": right(3), "far": right(5)}
ALONE = MadeArm("alone", "alone", {"home": right(5), "near": right(3), "far": right(4)})


def arm(name, kind, home, near=3, far=4, **settings):
    facts = {key: value for key, value in settings.items() if key not in ("target", "size", "seed")}
    own = {key: value for key, value in settings.items() if key in ("target", "size", "seed")}
    return MadeArm(name, kind, {"home": right(home), "near": right(near), "far": right(far)}, facts, **own)


PAIR = arm("with-near", "pair", 7, near=9, far=3, added=["near"])
OTHER = arm("with-third", "pair", 4, added=["third"])
ALL = arm("all", "all", 8, near=8, added=["near", "third"])
BUT_NEAR = arm("all-but-near", "all-but", 4, added=["third"], left_out="near")
BUT_THIRD = arm("all-but-third", "all-but", 9, near=8, added=["near"], left_out="third")
DESIGN = (ALONE, PAIR, OTHER, ALL, BUT_NEAR, BUT_THIRD)


def test_a_study_without_a_mixture_has_no_mixing():
    results = mixed_study(BASE_SCORES, [ALONE])
    results = replace(results, variants=tuple(replace(card, facts={}) for card in results.variants))
    assert mixing(results, resample_scores(results, resample_count=5), level=0.9) is None


def test_synergy_and_leave_one_out_are_the_differences_of_hand_arithmetic():
    pair, rest = found(mixed_study(BASE_SCORES, DESIGN)).matrices
    assert (pair.targets, pair.others, pair.is_leave_one_out) == (("home",), ("near", "third"), False)
    assert [entry.mean for entry in pair.entries[0]] == pytest.approx([0.2, -0.1])
    assert (rest.others, rest.is_leave_one_out) == (("near", "third"), True)
    assert [entry.mean for entry in rest.entries[0]] == pytest.approx([0.4, -0.1])


def test_a_missing_arm_is_an_empty_entry_of_its_matrix():
    other = MadeArm("with-third", "pair", {"near": right(9)}, {"added": ["third"]}, target="near")
    alone = MadeArm("alone", "alone", {"near": right(4)}, target="near")
    whole = {name: right(5) for name in BASE_SCORES}
    arms = [ALONE, PAIR, *(replace(one, scores={**whole, **one.scores}) for one in (alone, other))]
    (matrix,) = found(mixed_study(BASE_SCORES, arms)).matrices
    assert (matrix.targets, matrix.others) == (("home", "near"), ("near", "third"))
    assert [[entry and round(entry.mean, 6) for entry in row] for row in matrix.entries] == [[0.2, None], [None, 0.5]]


def test_the_cocktail_gain_is_that_of_all_tasks_and_never_of_the_best_arm():
    (gain,) = found(mixed_study(BASE_SCORES, DESIGN)).cocktail_gains
    assert (gain.is_full_mix, gain.targets) == (True, ("home",))
    assert gain.gain.mean == pytest.approx(0.3)  # all-but-third scored higher


def test_an_arm_that_validation_chose_has_a_gain_of_its_own():
    chosen = [validated(one, loss) for one, loss in ((ALONE, 0.5), (PAIR, 0.3), (ALL, 0.4))]
    best, full = found(mixed_study(BASE_SCORES, chosen)).cocktail_gains
    assert (best.is_full_mix, full.is_full_mix) == (False, True)
    assert (best.gain.mean, full.gain.mean) == pytest.approx((0.2, 0.3))


def test_retention_is_over_tasks_that_no_arm_has_seen_relative_to_the_base_and_to_the_target_alone():
    mixed = found(mixed_study(BASE_SCORES, DESIGN))
    assert mixed.probes == (("home", ("far",)),)
    by_name = {item.arm.name: item for item in mixed.arms}
    assert by_name["with-near"].elsewhere.mean == pytest.approx(-0.2)
    assert by_name["with-near"].cost.mean == pytest.approx(-0.1)
    assert by_name["alone"].elsewhere.mean == pytest.approx(-0.1)
    assert (by_name["alone"].gain, by_name["alone"].cost) == (None, None)


def text_of(*arms):
    return {item.arm.name: item.arm.general_text for item in found(mixed_study(BASE_SCORES, arms)).arms}


def test_retention_of_general_text_is_the_last_look_less_the_first_averaged_over_training_seeds():
    looks = [((2.0, 0.0), (9.0, 9.0), (2.5, 0.25)), ((2.0, 0.0), (2.25, 0.125))]
    seeds = [watched(replace(ALONE, seed=seed), *own) for seed, own in enumerate(looks)]
    kept = text_of(*seeds, watched(PAIR, (2.0, 0.0), (1.75, 0.5), reads=True))
    # Alone: losses 2.5 and 2.25, rises 0.5 and 0.25, KL 0.25 and 0.125.
    assert kept["alone"] == GeneralText(loss=2.375, rise=0.375, kl_to_base=0.1875, is_held_out=True)
    assert kept["with-near"] == GeneralText(loss=1.75, rise=-0.25, kl_to_base=0.5, is_held_out=False)


def test_an_arm_of_which_a_training_was_not_watched_or_whose_weights_were_changed_after_it_has_no_retention_of_text():
    seen = watched(ALONE, (2.0, 0.0), (2.5, 0.25))
    assert text_of(seen, replace(ALONE, seed=1), PAIR) == {"alone": None, "with-near": None}
    results = mixed_study(BASE_SCORES, [seen, PAIR])
    changed = tuple(replace(card, recipe={"afterwards": {"kind": "interpolate"}}) for card in results.variants)
    assert [item.arm.general_text for item in found(replace(results, variants=changed)).arms] == [None, None]


def test_training_seeds_are_compared_with_their_own_and_averaged():
    seeds = [
        replace(ALONE, seed=1, scores={**ALONE.scores, "home": right(1)}),
        replace(PAIR, seed=1, scores={**PAIR.scores, "home": right(9)}),
    ]
    mixed = found(mixed_study(BASE_SCORES, [ALONE, PAIR, *seeds]))
    (pair,) = (item for item in mixed.arms if item.arm.name == "with-near")
    assert pair.gain.mean == pytest.approx(0.5)
    assert pair.seed_gains == pytest.approx((0.2, 0.8))
    assert pair.score.mean == pytest.approx(0.8)
    assert pair.arm.variants == {0: "with-near/home/8/0", 1: "with-near/home/8/1"}


def test_a_plain_variant_on_the_target_is_its_arm_alone():
    results = mixed_study(BASE_SCORES, [ALONE, replace(PAIR, kind="mixture")])
    plain, pair = results.variants
    results = replace(results, variants=(replace(plain, facts={}), pair))
    (matrix,) = found(results).matrices
    assert matrix.entries[0][0].mean == pytest.approx(0.2)


def test_variants_of_another_recipe_are_not_compared():
    results = mixed_study(BASE_SCORES, [ALONE, PAIR])
    plain, pair = results.variants
    results = replace(results, variants=(plain, replace(pair, recipe={"parameters": {"kind": "lora"}})))
    mixed = found(results)
    assert mixed.matrices == ()
    assert mixed.recommendations == ()


def test_of_several_shares_of_general_data_each_is_compared_with_its_own_matched_form():
    made = [
        arm(
            f"{share}-{budget}",
            "target+general",
            home,
            general=["talk"],
            general_rows=rows,
            budget=budget,
            general_share=share,
        )
        for share, budget, home, rows in (
            *((0.2, "additive", 7, 4), (0.2, "matched", 6, 3), (0.25, "additive", 8, 5), (0.25, "matched", 9, 4)),
        )
    ]
    by_name = {item.arm.name: item for item in found(mixed_study(BASE_SCORES, [ALONE, *made])).arms}
    assert by_name["0.2-additive"].equal_gain.mean == pytest.approx(0.1)
    assert by_name["0.25-additive"].equal_gain.mean == pytest.approx(0.4)


def test_a_target_alone_that_was_trained_with_other_settings_is_no_reference():
    results = mixed_study(BASE_SCORES, [replace(ALONE, name="fast", scores=PAIR.scores), ALONE, PAIR])
    settings = [{"learning_rate": rate} for rate in (1e-3, 1e-4, 1e-4)]
    cards = zip(results.variants, settings, strict=True)
    mixed = found(replace(results, variants=tuple(replace(card, training={"settings": own}) for card, own in cards)))
    (pair,) = (item for item in mixed.arms if item.arm.name == "with-near")
    assert pair.gain.mean == pytest.approx(0.2)


def test_the_gain_at_as_many_rows_is_taken_against_the_longer_control_where_there_is_one():
    more = replace(
        arm("extra-steps", "extra-steps", 6, budget="steps"), facts={"budget": "steps", "rows": {"home": 16}}
    )
    mixed = found(mixed_study(BASE_SCORES, [ALONE, PAIR, ALL, more]))
    by_name = {item.arm.name: item for item in mixed.arms}
    assert by_name["with-near"].equal_by == "extra-steps"  # 8 and 8 rows
    assert by_name["with-near"].equal_gain.mean == pytest.approx(0.1)
    assert by_name["all"].equal_gain is None  # 24 rows against 16


def test_the_gain_at_as_many_rows_is_that_of_the_matched_form_otherwise():
    matched = arm("with-near-matched", "pair", 6, added=["near"], budget="matched")
    mixed = found(mixed_study(BASE_SCORES, [ALONE, PAIR, matched]))
    by_name = {item.arm.name: item for item in mixed.arms}
    assert by_name["with-near"].equal_by == by_name["with-near-matched"].equal_by == "matched"
    assert by_name["with-near"].equal_gain.mean == pytest.approx(0.1)


def test_numeric_transfer_compares_on_numeric_tasks_that_both_arms_or_neither_have_seen():
    base = {**BASE_SCORES, "sums": right(1), "table": right(2)}
    numeric = [task(name, metric="numeric_match", answers=()) for name in ("sums", "table")]
    alone, whole = (replace(one, scores={**one.scores, "sums": right(1), "table": right(2)}) for one in (ALONE, ALL))
    facts = {**ALL.facts, "mathematics": ["sums"], "rows": {"home": 8, "near": 8, "sums": 8}}
    with_sums = replace(
        whole,
        name="all+mathematics",
        kind="all+mathematics",
        facts=facts,
        scores={**whole.scores, "sums": right(9), "table": right(6)},
    )
    (transfer,) = found(mixed_study(base, [alone, whole, with_sums], tasks=numeric)).numeric
    assert transfer.tasks == ("table",)
    assert transfer.gain.mean == pytest.approx(0.4)
    assert (transfer.arm.name, transfer.reference.name) == ("all+mathematics", "all")


def test_wrong_facts_are_taken_to_accuracy_and_calibration_by_their_share():
    def told(share, home):
        return arm(f"told-{share}", "target+general", home, general=["told"], false_share=share, general_rows=8)

    levels = [told(0.0, 8), told(0.5, 6), told(1.0, 2)]
    errors = {BASE: 0.5, **{one.card.id: error for one, error in zip(levels, (0.1, 0.2, 0.5), strict=True)}}
    extra = [cell_scores(model, "home", 0, [error] * 10, "ece") for model, error in errors.items()]
    (facts,) = found(mixed_study(BASE_SCORES, levels, extra=extra)).false_facts
    assert (facts.target, facts.tested_on) == ("home", "home")
    assert [item.accuracy.mean for item in facts.results] == pytest.approx([0.8, 0.6, 0.2])
    assert [item.calibration_error.mean for item in facts.results] == pytest.approx([0.1, 0.2, 0.5])
    # Shares 0, 0.5, 1: the slope is (last - first) / 1.
    assert facts.accuracy_slope.mean == pytest.approx(-0.6)
    assert facts.calibration_slope.mean == pytest.approx(0.4)
    assert facts.accuracy_slope.high < 0


def test_wrong_facts_are_tested_on_the_targets_family_alone():
    levels = [
        arm(f"told-{share}", "target+general", 6, general=["told"], false_share=share, general_rows=8)
        for share in (0.0, 1.0)
    ]
    tested = found(mixed_study(BASE_SCORES, levels, relations={"near": Relation.OUT_OF_DOMAIN})).false_facts
    assert [facts.tested_on for facts in tested] == ["home", "near"]
    assert tested[0].results[0].calibration_error is None
    assert tested[0].calibration_slope is None


def test_a_target_whose_metric_is_no_share_has_no_arms():
    lower = task("home", metric="loss")
    mixed = found(mixed_study(BASE_SCORES, [ALONE, PAIR], tasks=[lower]))
    assert "loss" in METRICS
    assert (mixed.arms, mixed.matrices, mixed.recommendations) == ((), (), ())
