import pytest

from spillover.prompts.receipts import Receipt, corrupted, default_words, with_line
from spillover.prompts.template import Template, content_free_prompts, demonstrated_prompts
from spillover.records import Example

TEMPLATE = Template("Text: {text}\n\nMood:")
RECEIPTS = [Receipt(label, confidence) for label, confidence in (("up", 0.9), ("no", 0.6), ("up", 0.7), ("no", 0.8))]


@pytest.mark.parametrize(
    ("show", "line"),
    [
        (("label", "confidence"), "Classifier's Prediction: up (Confidence: 0.967)"),
        (("label",), "Classifier's Prediction: up"),
        (("confidence",), "Classifier's Confidence: 0.967"),
    ],
)
def test_a_receipt_is_a_line_before_the_words_that_ask_for_the_answer(show, line):
    form = with_line(TEMPLATE, default_words(show))
    assert form.render({"text": "a {label}", **Receipt("up", 0.96666).fields}) == f"Text: a {{label}}\n{line}\n\nMood:"


def test_a_template_that_ends_with_its_field_ends_with_the_receipt():
    assert with_line(Template("{a} and {b}"), "So {label}?").text == "{a} and {b}\nSo {receipt_label}?"


def test_no_words_leave_the_template_as_it_is():
    assert with_line(TEMPLATE, "") is TEMPLATE


def test_a_content_free_prompt_carries_a_neutral_receipt_behind_true_ones():
    form = with_line(TEMPLATE, "Seen as {label} ({confidence})")
    shown = Example("0", {"text": "sun", **Receipt("up", 0.5).fields}, "up")
    first = content_free_prompts(form, [shown])[0]
    assert first == "Text: sun\nSeen as up (0.500)\n\nMood:up\n\nText: N/A\nSeen as N/A (N/A)\n\nMood:"


def test_demonstrations_may_carry_receipts_where_the_question_has_none():
    form = with_line(TEMPLATE, "Seen as {label}")
    shown = Example("0", {"text": "sun", **Receipt("up", 0.5).fields}, "up")
    (prompt,) = demonstrated_prompts(TEMPLATE, [shown], [{"text": "rain"}], shown_as=form)
    assert prompt == "Text: sun\nSeen as up\n\nMood:up\n\nText: rain\n\nMood:"


def test_shuffled_receipts_are_the_same_ones_at_other_items():
    found = corrupted(RECEIPTS, "shuffled", ("up", "no"), seed=0, purpose="test")
    assert sorted(found, key=repr) == sorted(RECEIPTS, key=repr)
    assert found != RECEIPTS


def test_random_labels_keep_confidences_and_random_confidences_keep_labels():
    many = RECEIPTS * 100
    labels = corrupted(many, "random-label", ("up", "no", "so"), seed=0, purpose="test")
    assert [receipt.confidence for receipt in labels] == [receipt.confidence for receipt in many]
    assert all(90 < [receipt.label for receipt in labels].count(label) < 180 for label in ("up", "no", "so"))
    sure = corrupted(many, "random-confidence", ("up", "no", "so"), seed=0, purpose="test")
    assert [receipt.label for receipt in sure] == [receipt.label for receipt in many]
    assert all(1 / 3 <= receipt.confidence < 1 for receipt in sure)
    assert len({receipt.confidence for receipt in sure}) == 400
