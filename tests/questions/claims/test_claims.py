import math
from dataclasses import replace

import pytest
from scipy.stats import ttest_1samp

from spillover.questions.claims.claims import Outcome
from spillover.records import Relation
from tests.questions.claims.made_claims import found, made_study

SEEDS = (0, 1, 2)
HOLDS, FAILS, UNDECIDED, NOT_TESTED = Outcome.HOLDS, Outcome.FAILS, Outcome.UNDECIDED, Outcome.NOT_TESTED

Shares = dict[str, float]


def study(variants: dict[str, Shares], base: Shares, **settings):
    """Build a study in which each model has one share of right answers per task, at all shots alike."""

    def rate(card, cell, metric):
        own = variants[card.id] if card else base
        return own.get(f"{metric} {cell.tested_on}", own.get(cell.tested_on, 0.0 if metric == "label_share" else 0.5))

    return made_study(list(variants), rate, **settings)


def outcomes(results, number):
    return [part.outcome for part in found(results)[number].parts]


def test_only_studies_of_the_papers_suites_have_its_claims():
    results = study({"sft/logic/8/0": {}}, {}, tasks=["logic"])
    assert len(found(results)) == 8
    assert found(replace(results, provenance={"suite": "pocket"}))
    assert not found(replace(results, provenance={"suite": "finance"}))
    assert not found(replace(results, provenance={}))


def test_scores_of_two_kinds_have_no_common_mean():
    results = study({"sft/question/8/0": {"question": 0.9}, "sft/logic/8/0": {"logic": 0.1}}, {})
    first, second, sentiment = found(results)[1].parts
    assert (first.kind, first.outcome, first.estimate.mean) == ("ROUGE-L", HOLDS, pytest.approx(0.4))
    assert (second.kind, second.outcome, second.estimate.mean) == ("accuracy", FAILS, pytest.approx(-0.4))
    assert (sentiment.outcome, found(results)[1].outcome) == (NOT_TESTED, FAILS)


@pytest.mark.parametrize(("mood", "outcome"), [(0.5, HOLDS), (0.8, FAILS)])
def test_the_exception_of_the_first_claim_is_tested_apart(mood, outcome):
    results = study(
        {"sft/logic/8/0": {"logic": 0.9}, "sft/mood/8/0": {"mood": mood}}, {}, tasks=["logic", "mood"], items=200
    )
    assert outcomes(results, 1) == [HOLDS, outcome]
    assert found(results)[1].outcome is outcome


def test_gaining_less_than_the_base_is_not_little():
    def rate(card, cell, metric):
        return 0.4 + cell.shots * (0.1 if card else 0.15)

    part = found(made_study(["sft/logic/8/0"], rate, tasks=["logic"], items=200))[2].parts[1]
    assert (part.estimate.mean, part.outcome) == (pytest.approx(0.2), FAILS)


@pytest.mark.parametrize(
    ("shares", "outcome"),
    [
        ({10: 0.2, 20: 0.5, 30: 0.49}, HOLDS),  # rises, then stays
        ({10: 0.2, 20: 0.1, 30: 0.9}, HOLDS),  # falls at first
        ({10: 0.2, 20: 0.5, 30: 0.55}, FAILS),  # still gains, little as it may be
        ({10: 0.2, 20: 0.5, 30: 0.52}, FAILS),
        ({10: 0.2, 20: 0.5, 30: 0.505}, HOLDS),  # what cannot be told from none, and is less than 0.02
    ],
)
def test_more_rows_do_not_help_where_a_step_clearly_fails_to_gain(shares, outcome):
    variants = {f"sft/logic/{size}/0": {"logic": share} for size, share in shares.items()}
    part = found(study(variants, {}, tasks=["logic"], items=800))[3].parts[0]
    steps = [shares[20] - shares[10], shares[30] - shares[20]]
    assert part.estimate.mean == pytest.approx(min(steps), abs=1e-3)
    assert part.outcome is outcome


def test_the_step_that_gains_least_is_corrected_for_picking_it():
    def high(shares):
        variants = {f"sft/logic/{size}/0": {"logic": share} for size, share in shares.items()}
        return found(study(variants, {}, tasks=["logic"], items=400))[3].parts[0].estimate.high

    assert high({10: 0.2, 20: 0.5, 30: 0.4}) > high({20: 0.5, 30: 0.4})


def test_out_of_domain_level_on_sentiment_and_above_elsewhere_are_tested_apart():
    variants = {
        "sft/question/8/0": {"otherquestion": 0.3},
        "sft/mood/8/0": {"othermood": 0.5},
        "sft/logic/8/0": {"otherlogic": 0.7},
    }
    results = study(variants, {}, items=200)
    assert outcomes(results, 4) == [HOLDS, HOLDS, HOLDS]
    better_mood = study({**variants, "sft/mood/8/0": {"othermood": 0.8}}, {}, items=200)
    assert outcomes(better_mood, 4) == [HOLDS, FAILS, HOLDS]
    level_logic = study({**variants, "sft/logic/8/0": {"otherlogic": 0.3}}, {}, items=200)
    assert outcomes(level_logic, 4) == [HOLDS, HOLDS, FAILS]


def test_losing_a_little_text_is_no_ruin():
    def outcomes_of(**own):
        variants = {"sft/logic/8/0": own, "sft/question/8/0": {}}
        return outcomes(study(variants, {"question": 0.6}, tasks=["question", "logic"], items=200), 5)

    assert outcomes_of(**{"question": 0.0, "label_share question": 1.0}) == [HOLDS] * 4
    assert outcomes_of(**{"question": 0.4, "label_share question": 0.3}) == [HOLDS, FAILS, FAILS, HOLDS]


def test_text_across_tasks_without_a_demonstration_is_left_out():
    def rate(card, cell, metric):
        return 0.5 if card is None or cell.shots else 0.0

    part = found(made_study(["sft/logic/8/0"], rate, tasks=["question", "logic"]))[5].parts[0]
    assert (part.estimate.mean, part.cells) == (0.0, ("sft/logic/8/0 on question at 2 shots",))


def test_the_second_prompt_form_is_compared_with_the_first_less_what_it_does_to_the_base():
    def rate(card, cell, metric):
        base = {1: 0.3, 2: 0.4}[cell.prompt_form]
        added = {"logic": 0.4, "question": 0.1}[card.trained_on] if card else 0.0
        return base + added * (cell.prompt_form == 2)

    names = ["sft/logic/8/0", "sft/question/8/0"]
    results = made_study(names, rate, forms=(1, 2), items=200, tasks=["summary", "mood", "question", "logic"])
    text, choices, other_text, other_choices = found(results)[6].parts
    assert [part.kind for part in (text, choices, other_text, other_choices)] == ["ROUGE-L", "accuracy"] * 2
    assert text.estimate.mean == choices.estimate.mean == pytest.approx(0.4)
    # Of the tasks that both are tested on across, summary and mood: neither's own.
    assert other_text.estimate.mean == other_choices.estimate.mean == pytest.approx(0.3)
    assert {words.split()[3] for words in (*other_text.cells, *other_choices.cells)} == {"summary", "mood"}
    assert found(results)[6].outcome is HOLDS


def test_fticl_is_compared_with_the_plain_variant_of_its_own_settings():
    shares = {"sft~learning_rate=1e-4/logic/8/0": 0.8, "sft~learning_rate=1e-5/logic/8/0": 0.3, "fticl/logic/8/0": 0.7}
    results = study({name: {"logic": share} for name, share in shares.items()}, {}, tasks=["logic"])
    rates = (1e-4, 1e-5, 1e-5)
    cards = [
        replace(card, training={"settings": {"learning_rate": rate}})
        for card, rate in zip(results.variants, rates, strict=True)
    ]
    part = found(replace(results, variants=tuple(cards)))[7].parts[1]
    assert (part.estimate.mean, part.outcome) == (pytest.approx(0.4), FAILS)
    other_rate = replace(cards[2], training={"settings": {"learning_rate": 1e-3}})
    assert found(replace(results, variants=(*cards[:2], other_rate)))[7].parts[1].outcome is NOT_TESTED


def test_mixtures_and_recipes_that_add_anything_else_are_no_plain_fine_tuning():
    results = study({"sft/logic/8/0": {"logic": 0.9}}, {}, tasks=["logic"])
    (card,) = results.variants
    mixed = replace(card, mixture={"arm": "mixture", "row_shares": {"logic": 0.5, "mood": 0.5}})
    adapter = replace(card, recipe={"demonstrations": {"count": 0}, "parameters": {"kind": "lora"}})
    adopted = replace(card, recipe={"trained_elsewhere": {"adapter": "mine"}})
    for other in (mixed, adapter, adopted):
        assert found(replace(results, variants=(other,)))[1].outcome is NOT_TESTED
    assert found(results)[1].parts[0].outcome is HOLDS


def test_fticl_on_classification_is_compared_with_base_and_plain():
    variants = {
        "sft/logic/8/0": {"logic": 0.9, "otherlogic": 0.8, "question": 0.0},
        "fticl/logic/8/0": {"logic": 0.7, "otherlogic": 0.65, "question": 0.3},
        "sft/question/8/0": {"otherquestion": 0.2, "logic": 0.4},
        "fticl/question/8/0": {"otherquestion": 0.4, "logic": 0.6},
    }
    results = study(variants, {}, tasks=["question", "otherquestion", "logic", "otherlogic"], items=80)
    parts = found(results)[7].parts
    assert [part.kind for part in parts] == ["ROUGE-L", "accuracy", "accuracy", "accuracy", "accuracy", "ROUGE-L"]
    assert [part.estimate.mean for part in parts] == pytest.approx([0.2, 0.1, -0.2, 0.15, -0.15, 0.15], abs=0.01)
    assert found(results)[7].outcome is HOLDS


def test_several_training_seeds_are_told_and_widen_the_interval():
    def estimates(*shares):
        variants = {f"sft/logic/8/{seed}": {"logic": share} for seed, share in enumerate(shares)}
        return found(study(variants, {}, tasks=["logic"], items=200))[1].parts[0]

    alike, unlike = estimates(0.8, 0.8, 0.8), estimates(0.7, 0.8, 0.9)
    assert alike.estimate.mean == pytest.approx(unlike.estimate.mean)
    assert unlike.estimate.low < alike.estimate.low - 0.1
    assert (alike.outcome, alike.holds_for) == (HOLDS, "items and seeds (3)")
    assert estimates(0.8).holds_for == "items"


def test_a_difference_on_too_few_items_leaves_a_claim_undecided():
    part = found(study({"sft/logic/8/0": {"logic": 1.0}}, {"logic": 0.0}, tasks=["logic"], items=9))[1].parts[0]
    assert (part.estimate.mean, part.estimate.low, part.holds_for, part.outcome) == (1, None, "", UNDECIDED)


def test_a_training_task_that_is_not_tested_itself_counts_all_the_same():
    results = study({"sft/logic/8/0": {"otherlogic": 0.9}}, {}, tasks=["otherlogic"])
    assert outcomes(results, 4)[2] is HOLDS
    unknown = [replace(card, is_classification=None) for card in results.variants]
    assert outcomes(replace(results, variants=tuple(unknown)), 4)[2] is NOT_TESTED


MOVED = {0: (3e-4, 2e-4), 1: (3.2e-4, 2.2e-4), 2: (5e-4, 3.5e-4)}
"""Mean weight change of plain fine-tuning and of FTICL, by seed."""


def moved(drifts):
    return found(study({name: {} for name in drifts}, {}, tasks=["logic"], drifts=drifts))[8].parts[0]


def test_smaller_weight_changes_decide_a_claim_over_several_seeds_and_not_over_one():
    drifts = {}
    for seed, (plain, fticl) in MOVED.items():
        drifts |= {f"sft/logic/100/{seed}": plain, f"fticl/logic/100/{seed}": fticl}
    part = moved(drifts)
    logs = [math.log(fticl / plain) for plain, fticl in MOVED.values()]
    interval = ttest_1samp(logs, 0).confidence_interval()
    assert (part.estimate.low, part.estimate.high) == pytest.approx((interval.low, interval.high))
    assert part.estimate.p_value == pytest.approx(ttest_1samp(logs, 0).pvalue)
    assert (part.outcome, part.holds_for) == (HOLDS, "seeds (3)")
    # Two tasks of one seed are no two seeds, nor are two recipes beside the same plain variant.
    one = {"sft/logic/8/0": 3e-4, "fticl/logic/8/0": 1e-4, "fticl-4/logic/8/0": 1.1e-4}
    part = moved({**one, "sft/mood/8/0": 3e-4, "fticl/mood/8/0": 1e-4})
    assert part.estimate.mean == pytest.approx((2 * math.log(1 / 3) + math.log(1.1 / 3)) / 3)
    assert (part.estimate.low, part.outcome) == (None, UNDECIDED)


def test_seeds_of_different_tasks_are_not_compared_with_each_other():
    drifts = {"sft/logic/8/0": 3e-4, "fticl/logic/8/0": 1e-4, "sft/mood/8/1": 3e-4, "fticl/mood/8/1": 2e-4}
    assert moved(drifts).estimate.low is None


def test_relations_decide_what_is_out_of_domain():
    results = study({"sft/logic/8/0": {"mood": 0.9}}, {}, tasks=["logic", "mood"])
    near = {key: Relation.OUT_OF_DOMAIN if key[1] == "mood" else value for key, value in results.relations.items()}
    assert outcomes(results, 4) == [NOT_TESTED] * 3
    assert outcomes(replace(results, relations=near), 4) == [NOT_TESTED, FAILS, NOT_TESTED]
