import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from scipy.stats import ttest_1samp

from spillover.analysis.cells import resample_scores
from spillover.analysis.claims import Claim, Outcome, claims
from spillover.records import BASE, Cell, Relation, StudyResults, VariantCard
from tests.analysis.made_scores import METRICS, cell_scores, task

ITEMS = 100
QUESTION, OTHER_QUESTION, MOOD, LOGIC = "question", "otherquestion", "mood", "logic"
FAMILY = {QUESTION: "question", OTHER_QUESTION: "question", MOOD: "mood", LOGIC: "logic"}

BASELINE = {QUESTION: 0.3, OTHER_QUESTION: 0.4, MOOD: 0.5, LOGIC: 0.4}
"""The base at 0 shots; it gains 0.1 from 2 shots everywhere."""


def study(
    variants: Mapping[str, Mapping[str, float]], *, forms: tuple[int, ...] = (1,), drifts: Mapping[str, float] = {}
) -> StudyResults:
    """Build a study from the share of right answers of each variant on each task, at 0 and at 2 shots alike."""
    cards = tuple(_card(name, drifts.get(name)) for name in variants)
    tasks = tuple(
        replace(task(name, answers=() if "question" in name else ("yes", "no")), family=FAMILY[name])
        for name in BASELINE
    )
    scores = []
    for form in forms:
        for shots in (0, 2):
            for name, share in BASELINE.items():
                scores.append(_scores(BASE, name, shots, share + 0.05 * shots, form))
            scores += [
                _scores(card.id, name, shots, variants[card.id][name], form) for card in cards for name in BASELINE
            ]
    relations = {(card.id, name): _relation(card.trained_on, name) for card in cards for name in BASELINE}
    return StudyResults("made", {}, cards, tasks, relations, METRICS, tuple(scores), (), (), {})


def _card(name: str, moved: float | None) -> VariantCard:
    recipe, trained_on, size, seed = name.split("/")
    count = 2 if recipe.startswith("fticl") else 0
    drift = {} if moved is None else {"mean_absolute_difference": moved}
    return VariantCard(
        name, recipe, trained_on, int(size), int(seed), {"demonstrations": {"count": count}}, drift=drift
    )


def _relation(trained_on: str, tested_on: str) -> Relation:
    if trained_on == tested_on:
        return Relation.IN_DOMAIN
    same = FAMILY[trained_on] == FAMILY[tested_on]
    return Relation.OUT_OF_DOMAIN if same else Relation.CROSS_TASK


def _scores(model, name, shots, share, form):
    right = round(share * ITEMS)
    scored = cell_scores(model, name, shots, [1.0] * right + [0.0] * (ITEMS - right))
    return replace(scored, cell=Cell(name, form, shots, 0))


def found(results: StudyResults) -> dict[int, Claim]:
    return {claim.number: claim for claim in claims(results, resample_scores(results, resample_count=200), level=0.95)}


def shares(**changed: float) -> dict[str, float]:
    return {**BASELINE, **changed}


def test_a_study_like_the_papers_supports_its_claims():
    results = study(
        {
            "sft/question/100/0": shares(question=0.8, otherquestion=0.1),
            "fticl/question/100/0": shares(question=0.8, otherquestion=0.3, mood=0.7, logic=0.6),
            "sft/mood/100/0": shares(mood=0.9, question=0.0, otherquestion=0.0),
            "fticl/mood/100/0": shares(mood=0.7, question=0.2, otherquestion=0.2),
        },
    )
    by_number = found(results)
    assert [number for number, claim in by_number.items() if claim.outcome is Outcome.HOLDS] == [1, 2]
    assert by_number[3].outcome is by_number[6].outcome is by_number[8].outcome is Outcome.NOT_TESTED
    helps, in_domain, above_base, below_plain, relieves = (part.outcome for part in by_number[7].parts)
    assert helps is in_domain is relieves is Outcome.HOLDS
    assert above_base is below_plain is Outcome.NOT_TESTED
    ends_below, stays_level = by_number[4].parts
    assert (ends_below.outcome, stays_level.outcome) == (Outcome.HOLDS, Outcome.NOT_TESTED)
    ruined, harmless = by_number[5].parts
    assert ruined.estimate
    assert ruined.estimate.mean == pytest.approx((-0.3 - 0.4 - 0.4 - 0.5) / 4)
    assert (ruined.outcome, harmless.outcome) == (Outcome.HOLDS, Outcome.UNDECIDED)


def test_a_study_unlike_the_papers_contradicts_them():
    results = study(
        {
            "sft/question/100/0": shares(question=0.1, otherquestion=0.9, mood=0.1, logic=0.1),
            "fticl/question/100/0": shares(question=0.1, otherquestion=0.2, mood=0.0, logic=0.0),
            "sft/mood/100/0": shares(mood=0.6, question=0.9, otherquestion=0.9),
            "fticl/mood/100/0": shares(mood=0.9, question=0.2, otherquestion=0.2),
        }
    )
    by_number = found(results)
    failed = [number for number, claim in by_number.items() if claim.outcome is Outcome.FAILS]
    assert failed == [1, 4, 5, 7]


def test_out_of_domain_fticl_on_classification_is_compared_with_base_and_plain():
    results = study({"sft/mood/100/0": shares(logic=0.9), "fticl/mood/100/0": shares(logic=0.7)})
    near = {key: Relation.OUT_OF_DOMAIN if key[1] == LOGIC else relation for key, relation in results.relations.items()}
    above_base, below_plain = found(replace(results, relations=near))[7].parts[2:4]
    assert above_base.estimate
    assert below_plain.estimate
    assert above_base.estimate.mean == pytest.approx((0.7 - 0.4 + 0.7 - 0.5) / 2)
    assert below_plain.estimate.mean == pytest.approx(-0.2)
    assert above_base.outcome is below_plain.outcome is Outcome.HOLDS


MOVED = {("question", 0): (3e-4, 2e-4), ("question", 1): (3.2e-4, 2e-4), ("mood", 0): (5e-4, 3.5e-4)}
"""Mean weight change of plain fine-tuning and of FTICL, by task and seed."""


def test_smaller_weight_changes_decide_a_claim_over_several_plain_variants_and_not_over_one():
    drifts = {}
    for (name, seed), (plain, fticl) in MOVED.items():
        drifts |= {f"sft/{name}/100/{seed}": plain, f"fticl/{name}/100/{seed}": fticl}
    part = found(study(dict.fromkeys(drifts, BASELINE), drifts=drifts))[8].parts[0]
    logs = [math.log(fticl / plain) for plain, fticl in MOVED.values()]
    interval = ttest_1samp(logs, 0).confidence_interval()
    assert part.estimate
    assert (part.estimate.low, part.estimate.high) == pytest.approx((interval.low, interval.high))
    assert part.outcome is Outcome.HOLDS
    # Two recipes beside the same plain variant are no two chances of it.
    one = {"sft/mood/100/0": 3e-4, "fticl/mood/100/0": 1e-4, "fticl-4/mood/100/0": 1.1e-4}
    part = found(study(dict.fromkeys(one, BASELINE), drifts=one))[8].parts[0]
    assert part.estimate
    assert part.estimate.mean == pytest.approx(math.log(1 / 3 * 1.1**0.5))
    assert (part.estimate.low, part.outcome) == (None, Outcome.UNDECIDED)


def test_a_difference_on_too_few_items_leaves_a_claim_undecided() -> None:
    results = study({"sft/question/100/0": shares(question=1.0)})
    few = [replace(item, example_ids=item.example_ids[-9:], statistics=item.statistics[-9:]) for item in results.scores]
    part = found(replace(results, scores=tuple(few)))[1].parts[0]
    assert part.estimate
    assert (part.estimate.mean, part.estimate.low, part.outcome) == (1, None, Outcome.UNDECIDED)


def test_the_largest_size_is_compared_with_the_one_before():
    level = study({f"sft/mood/{size}/0": shares(mood=share) for size, share in [(10, 0.5), (20, 0.9), (30, 0.8)]})
    part = found(level)[3].parts[0]
    assert part.estimate
    assert part.estimate.mean == pytest.approx(-0.1)
    assert part.outcome is Outcome.HOLDS
    growing = study({f"sft/mood/{size}/0": shares(mood=share) for size, share in [(20, 0.5), (30, 0.9)]})
    assert found(growing)[3].outcome is Outcome.FAILS


def test_the_second_prompt_form_is_compared_with_the_first_less_what_it_does_to_the_base():
    results = study({"sft/mood/100/0": shares(question=0.0, otherquestion=0.0)}, forms=(1, 2))
    better = replace(
        results,
        scores=tuple(
            _scores(item.variant, item.cell.tested_on, item.cell.shots, 0.5, 2)
            if item.variant != BASE and item.cell.prompt_form == 2 and "question" in item.cell.tested_on
            else item
            for item in results.scores
        ),
    )
    part = found(better)[6].parts[0]
    assert part.estimate
    assert part.estimate.mean == pytest.approx((0.5 + 0.5 + 0.0) / 3)
    assert part.outcome is Outcome.HOLDS
    assert found(better)[6].parts[1].outcome is Outcome.NOT_TESTED


def test_what_the_second_form_adds_is_compared_between_classification_and_generation():
    names = ("sft/mood/100/0", "sft/question/100/0")
    results = study(dict.fromkeys(names, shares(question=0.2, otherquestion=0.2, mood=0.4, logic=0.2)), forms=(1, 2))
    better = replace(
        results,
        scores=tuple(
            _scores(item.variant, item.cell.tested_on, item.cell.shots, 0.8, 2)
            if item.variant == names[0] and item.cell.prompt_form == 2 and item.cell.tested_on != MOOD
            else item
            for item in results.scores
        ),
    )
    part = found(better)[6].parts[1]
    assert part.estimate
    assert part.estimate.mean == pytest.approx(0.6 - 0.0)
    assert part.outcome is Outcome.HOLDS


def test_recipes_that_add_anything_else_are_no_plain_fine_tuning():
    results = study({"sft/mood/100/0": shares(mood=0.9)})
    card = replace(results.variants[0], recipe={"demonstrations": {"count": 0}, "parameters": {"kind": "lora"}})
    assert found(replace(results, variants=(card,)))[1].outcome is Outcome.NOT_TESTED
