import random
from dataclasses import replace

import pytest

from spillover.questions.receipts.cascade import Cascade
from spillover.questions.receipts.numbers import RULE, advices, receipt_numbers
from spillover.records import BASE, AskedBy, Relation
from tests.analysis.made_scores import study
from tests.questions.receipts.made_receipts import LABELS, made_items

RESULTS = study({("home", 0): [1, 0] * 20}, {("home", 0): [1, 1] * 20}, {"home": Relation.IN_DOMAIN})


def numbers(items):
    return receipt_numbers(RESULTS, items, resample_count=50, level=0.95)


@pytest.mark.parametrize("seed", range(8))
def test_helpful_less_harmful_overrides_are_what_accuracy_gains_over_the_classifier(seed):
    found = numbers(made_items(seed=seed))
    assert found.helpful_count - found.harmful_count == round(40 * (found.together - found.classifier))
    assert found.less_classifier.value == pytest.approx(found.together - found.classifier)
    assert found.oracle >= max(found.alone, found.classifier)


@pytest.mark.parametrize("seed", range(4))
def test_a_model_that_copies_answers_what_it_is_shown_with_the_excess_over_its_plain_agreement(seed):
    items = made_items(seed=seed)
    shown = tuple(LABELS[(LABELS.index(label) + 1) % 3] for label in items.own)
    found = numbers(replace(items, shown=shown, final=shown))
    agreement = sum(answer == label for answer, label in zip(items.alone, shown, strict=True)) / 40
    assert found.copied == 1
    assert found.excess == pytest.approx(1 - agreement)


def test_copying_in_a_control_is_over_the_items_that_are_shown_another_label():
    items = made_items()
    shown = (*(LABELS[(LABELS.index(label) + 1) % 3] for label in items.own[:4]), *items.own[4:])
    found = numbers(replace(items, shown=shown, final=(*shown[:3], items.own[3], *items.final[4:])))
    assert (found.copied, found.copied_of) == (0.75, 4)


def test_a_model_that_never_overrides_has_no_precision():
    items = made_items()
    found = numbers(replace(items, final=items.own))
    assert (found.override_rate, found.override_precision, found.override_low) == (0, None, None)
    assert found.less_classifier.value == 0


def test_precision_is_of_overrides_alone():
    items = made_items(4)
    found = numbers(
        replace(
            items,
            targets=("yes", "yes", "no", "no"),
            own=("yes", "no", "no", "yes"),
            shown=("yes", "no", "no", "yes"),
            final=("no", "yes", "maybe", "yes"),
        )
    )
    assert (found.override_count, found.helpful_count, found.harmful_count) == (3, 1, 2)
    assert found.override_precision == pytest.approx(1 / 3)
    assert found.override_low < 1 / 3 < found.override_high


def advice(**answers):
    items = replace(made_items(), **answers)
    (found,) = advices([numbers(items)])
    return found.sentence


def test_advice_is_by_the_rule_that_is_stated():
    items = made_items()
    assert "90%" in RULE
    copies = advice(final=items.own, alone=items.targets)
    assert copies.startswith("It copies: 100% of answers are the label shown")
    assert "Use the model alone: " in copies
    assert "Use both" in advice(final=items.targets)
    wrong = tuple(LABELS[(LABELS.index(label) + 1) % 3] for label in items.targets)
    assert "Use the classifier slm: " in advice(final=wrong, alone=wrong)


def test_advice_names_neither_where_the_items_do_not_tell_them_apart():
    found = numbers(made_items(12))
    assert found.alone_less_classifier.low < 0 < found.alone_less_classifier.high
    (given,) = advices([found])
    assert "These items do not say which of the two is better" in given.sentence
    assert "Use " not in given.sentence


def test_what_a_model_says_without_being_shown_is_not_copied():
    """Model and classifier agree on everything, so that nothing says whether the model looked at the verdict."""
    items = made_items()
    assert "It copies" not in advice(final=items.own, alone=items.own)


def test_a_cascade_stands_beside_what_it_is_made_of():
    items = made_items()
    found = numbers(replace(items, cascade=Cascade(0.5, 30, items.targets, 12)))
    assert (found.cascade, found.cascade_threshold, found.cascade_row_count, found.cascade_asked_count) == (
        1,
        0.5,
        30,
        12,
    )
    assert found.cascade_less_classifier.value == pytest.approx(1 - found.classifier)
    assert (numbers(items).cascade, numbers(items).cascade_less_classifier) == (None, None)


@pytest.mark.parametrize("seed", range(3))
def test_bins_hold_every_item_and_override_once(seed):
    draw = random.Random(seed)
    found = numbers(replace(made_items(), confidence=tuple(draw.random() for _ in range(40))))
    assert sum(row.item_count for row in found.bins) == 40
    assert sum(row.override_count for row in found.bins) == found.override_count
    weighted = sum(row.together * row.item_count for row in found.bins) / 40
    assert weighted == pytest.approx(found.together)


def test_a_control_decides_whether_a_model_copies():
    items = made_items()
    other = tuple(LABELS[(LABELS.index(label) + 1) % 3] for label in items.own)
    control = replace(
        items, asked=AskedBy(BASE, "copied"), cell=replace(items.cell, ask="copied"), shown=other, final=items.own
    )
    (sentence,) = advices([numbers(replace(items, final=items.own)), numbers(control)])
    assert "It copies" not in sentence.sentence
    (sentence,) = advices([numbers(replace(items, final=items.own)), numbers(replace(control, final=other))])
    assert "whether it is the classifier's or not" in sentence.sentence


def test_raw_answers_give_no_advice():
    assert advices([numbers(replace(made_items(), scoring="raw"))]) == ()


def test_a_spoilt_receipt_is_a_control_and_none_that_copying_is_read_from_where_its_labels_are_the_classifiers():
    true = made_items()
    spoilt = replace(true, is_spoilt=True, asked=AskedBy(true.asked.variant, "random-confidence"))
    spoilt = replace(spoilt, cell=replace(true.cell, ask="random-confidence"), final=true.own)
    found = [numbers(true), numbers(spoilt)]
    assert [row.is_control for row in found] == [False, True]
    (given,) = advices(found)
    assert given.found.items is true
    assert "It copies" not in given.sentence


def test_a_classifier_that_says_one_label_of_everything_is_said_to_tell_nothing():
    items = made_items()
    assert "tells nothing" not in advice()
    same = ("yes",) * len(items.targets)
    assert f"The classifier says 'yes' of all {len(same)} items" in advice(own=same, shown=same)
