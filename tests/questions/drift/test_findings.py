import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from spillover.analysis.relations import RelationSummary
from spillover.questions.drift.findings import SUMMARIES, drift_correlations, drift_findings, drift_summary
from spillover.records import Relation, StudyResults, VariantCard

EMPTY = StudyResults("made", {}, (), (), {}, {}, (), (), (), {})


def drift(moved):
    probe = {"kl_to_base": moved**2, "similarity": [1.0, 1 - 0.1 * moved]}
    return {"mean_absolute_difference": moved, "relative_norm": 2 * moved, "probe": probe}


def card(name, moved, *, demonstrations=0, seed=0, settings=None, **slots):
    recipe = {"demonstrations": {"count": demonstrations}, "parameters": "full", **slots}
    return VariantCard(
        id=f"{name}/t/8/{seed}",
        name=name,
        trained_on="t",
        size=8,
        seed=seed,
        recipe=recipe,
        training={"settings": settings},
        facts={"drift": drift(moved)},
    )


def lost(card, amount, relation=Relation.OUT_OF_DOMAIN, kind="accuracy"):
    facts = {"kind": kind, "unit": "share", "higher_is_better": True, "tasks": ("t",)}
    counts = {"cell_count": 1, "item_count": 9}
    return RelationSummary(
        card.id,
        relation,
        **facts,
        **counts,
        mean_difference=-amount,
        low=-amount,
        high=-amount,
        base_mean=0.5,
        variant_mean=0.5 - amount,
    )


def findings(*cards, level=0.95):
    return drift_findings(replace(EMPTY, variants=cards), (), level=level)


def test_the_summaries_of_a_variant_by_hand():
    assert drift_summary(drift(0.2)) == pytest.approx(dict(zip(SUMMARIES, (0.2, 0.4, 0.04, 0.01), strict=True)))


def test_the_correlation_is_that_of_the_ranks():
    moved, amounts = (0.1, 0.4, 0.2, 0.3, 0.9), (0.0, 0.3, 0.02, 0.3, -0.1)
    cards = [card(f"v{index}", value) for index, value in enumerate(moved)]
    rows = drift_correlations(
        replace(EMPTY, variants=tuple(cards)), [lost(*pair) for pair in zip(cards, amounts, strict=True)]
    )
    # Average ranks, and Pearson's correlation of them.
    expected = np.corrcoef([1, 4, 2, 3, 5], [2, 4.5, 3, 4.5, 1])[0, 1]
    assert [(row.relation, row.summary, row.variant_count) for row in rows] == [
        (Relation.OUT_OF_DOMAIN, name, 5) for name in SUMMARIES
    ]
    assert [row.spearman for row in rows] == pytest.approx([expected] * 4)


def test_few_variants_or_equal_losses_have_no_correlation():
    cards = [card(f"v{index}", 0.1 * (index + 1)) for index in range(4)]
    results = replace(EMPTY, variants=tuple(cards))
    few = drift_correlations(results, [lost(item, 0.1 * index) for index, item in enumerate(cards[:3])])
    equal = drift_correlations(results, [lost(item, 0.1) for item in cards])
    rising = drift_correlations(results, [lost(item, 0.1 * index) for index, item in enumerate(cards)])
    assert {(row.variant_count, row.spearman) for row in few} == {(3, None)}
    assert {(row.variant_count, row.spearman) for row in equal} == {(4, None)}
    assert [row.spearman for row in rising] == pytest.approx([1.0] * 4)


def test_variants_without_drift_or_without_the_relation_are_left_out():
    cards = [card(f"v{index}", 0.1 * (index + 1)) for index in range(5)]
    results = replace(EMPTY, variants=(replace(cards[0], facts={}), *cards[1:]))
    rows = drift_correlations(results, [lost(item, 0.1) for item in cards[:4]])
    assert {(row.relation, row.variant_count) for row in rows} == {(Relation.OUT_OF_DOMAIN, 3)}


def test_a_mixture_is_no_plain_counterpart_of_the_task_alone():
    shown, plain = card("fticl", 0.4, demonstrations=2), card("sft", 0.5)
    shares = {"row_shares": {"t": 0.5, "u": 0.5}, "repeated_rows": {"t": 0, "u": 0}, "order": "joint"}
    repeated = {"row_shares": {"t": 1.0}, "repeated_rows": {"t": 8}, "order": "joint"}
    alone = {"row_shares": {"t": 1.0}, "repeated_rows": {"t": 0}, "order": "joint"}
    others = [replace(card(name, 0.1), mixture=mixture) for name, mixture in (("mixed", shares), ("more", repeated))]
    assert findings(shown, *others).pairs == ()
    (pair,) = findings(shown, *others, plain).pairs
    assert pair.plain_variant == plain.id
    (pair,) = findings(shown, *others, replace(plain, mixture=alone)).pairs
    assert pair.plain_variant == plain.id
    (pair,) = findings(replace(shown, mixture=shares), plain, *others).pairs
    assert pair.plain_variant == others[0].id


def test_a_pair_differs_by_demonstrations_alone():
    plain, shown = card("sft", 0.5), card("fticl", 0.4, demonstrations=2)
    (pair,) = findings(plain, shown).pairs
    assert (pair.variant, pair.plain_variant, pair.ratio) == (shown.id, plain.id, pytest.approx(0.8))
    for other in (
        card("fticl", 0.4, demonstrations=2, parameters="lora"),
        card("fticl", 0.4, demonstrations=2, seed=1),
        card("fticl", 0.4, demonstrations=2, settings={"learning_rate": 1}),
        replace(shown, trained_on="other"),
        replace(shown, facts={}),
    ):
        assert not findings(plain, other).pairs


def test_one_pair_is_answered_without_an_interval():
    (answer,) = findings(card("sft", 0.5), card("fticl", 0.4, demonstrations=2)).answers
    assert (answer.pair_count, answer.less_count, answer.low, answer.high) == (1, 1, None, None)
    assert "fticl against sft: mean |Δw| is 0.80 times as large in the only pair" in answer.sentence


@pytest.mark.parametrize(
    ("ratios", "reading"),
    [
        ((0.8, 0.82, 0.81), "move less"),
        ((1.2, 1.22, 1.21), "move more"),
        ((0.8, 1.3, 0.9), "no clear difference"),
    ],
)
def test_several_seeds_are_answered_with_an_interval(ratios, reading):
    pairs = [
        (card("sft", 0.5, seed=seed), card("fticl", 0.5 * ratio, seed=seed, demonstrations=2))
        for seed, ratio in enumerate(ratios)
    ]
    (answer,) = findings(*itertools.chain.from_iterable(pairs), level=0.9).answers
    logs = np.log(ratios)
    low, high = stats.t.interval(0.9, len(ratios) - 1, loc=logs.mean(), scale=stats.sem(logs))
    assert answer.ratio == pytest.approx(stats.gmean(ratios))
    assert (answer.low, answer.high) == pytest.approx((np.exp(low), np.exp(high)))
    assert answer.sentence.endswith(reading)
    assert f"less in {sum(ratio < 1 for ratio in ratios)} of 3" in answer.sentence
    assert "90% interval" in answer.sentence


def test_each_kind_of_variant_is_answered_apart():
    cards = [card("sft", 0.5), card("two", 0.4, demonstrations=2), card("four", 0.3, demonstrations=4)]
    assert [(item.name, item.pair_count) for item in findings(*cards).answers] == [("two", 1), ("four", 1)]
