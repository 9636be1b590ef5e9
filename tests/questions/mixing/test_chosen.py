from dataclasses import replace

from tests.questions.mixing.made_mixing import MadeArm, found, mixed_study, right, validated

BASE_SCORES = {"home": right(2)}


def arm(name, kind, home, seed=0, **facts):
    return MadeArm(name, kind, {"home": right(home)}, facts, seed=seed)


ALONE = arm("alone", "alone", 3)
NEAR = arm("with-near", "pair", 5, added=["near"])
FAR = arm("with-far", "pair", 9, added=["far"])
ALL = arm("all", "all", 6, added=["near", "far"])


def choices(*arms):
    return found(mixed_study(BASE_SCORES, arms)).choices


def test_the_lowest_validation_loss_chooses_and_the_test_score_does_not():
    (choice,) = choices(*(validated(one, loss) for one, loss in ((ALONE, 0.9), (NEAR, 0.2), (FAR, 0.5), (ALL, 0.4))))
    assert (choice.chosen.arm.name, choice.full.arm.name) == ("with-near", "all")
    assert (choice.compared_count, choice.unmeasured_count) == (3, 0)
    assert choice.alone_loss == 0.9
    assert choice.is_worth_adding
    assert round(choice.chosen.gain.mean, 6) == 0.2  # with-far has 0.6


def test_losses_are_averaged_over_training_seeds():
    one = [validated(replace(arm, seed=0), loss) for arm, loss in ((ALONE, 1.0), (NEAR, 0.1), (FAR, 0.4))]
    other = [validated(replace(arm, seed=1), loss) for arm, loss in ((ALONE, 1.0), (NEAR, 0.9), (FAR, 0.4))]
    (choice,) = choices(*one, *other)
    assert choice.chosen.arm.name == "with-far"
    assert choice.chosen.arm.validation_loss == 0.4


def test_an_arm_of_which_a_seed_was_not_validated_cannot_be_chosen_and_is_counted():
    seeds = [replace(one, seed=1) for one in (ALONE, NEAR, FAR, ALL)]
    first = [validated(one, loss) for one, loss in ((ALONE, 1.0), (NEAR, 0.1), (FAR, 0.4), (ALL, 0.5))]
    second = [seeds[1], *(validated(one, 0.4) for one in (seeds[0], *seeds[2:]))]
    (choice,) = choices(*first, *second)
    assert choice.chosen.arm.name == "with-far"
    assert (choice.compared_count, choice.unmeasured_count) == (2, 1)


def test_without_two_validated_mixtures_nothing_is_chosen():
    assert choices(ALONE, NEAR, FAR) == ()
    assert choices(validated(ALONE, 0.3), validated(NEAR, 0.2), FAR) == ()


def test_controls_and_wrong_facts_and_matched_forms_do_not_compete():
    steps = arm("extra-steps", "extra-steps", 5, budget="steps")
    matched = arm("with-near-matched", "pair", 5, added=["near"], budget="matched")
    wrong = arm("told", "mixture", 5, general=["told"], false_share=0.5)
    losses = ((ALONE, 0.9), (NEAR, 0.5), (FAR, 0.6), (steps, 0.1), (matched, 0.1), (wrong, 0.1))
    (choice,) = choices(*(validated(one, loss) for one, loss in losses))
    assert (choice.chosen.arm.name, choice.compared_count, choice.full) == ("with-near", 2, None)


def test_one_mixture_under_two_names_competes_once_and_the_full_mix_is_found_among_all_arms():
    whole = arm("all", "all", 5, added=["near"])
    (choice,) = choices(*(validated(one, loss) for one, loss in ((ALONE, 0.1), (NEAR, 0.5), (FAR, 0.6), (whole, 0.5))))
    assert (choice.compared_count, choice.full.arm.name) == (2, "all")
    assert choice.is_worth_adding is False
