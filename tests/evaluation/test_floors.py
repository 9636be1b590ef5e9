import numpy as np
import pytest

from spillover.evaluation.choice import Scoring
from spillover.evaluation.floors import constant_scores, floors
from spillover.evaluation.metrics import METRICS, Metric
from spillover.records import MetricCard, Prediction

COLOURS = ("red", "blue", "green")


def chosen(targets, answers=COLOURS, **more):
    """What some model chose, always right, which must not matter."""
    return [
        Prediction(str(index), target, target, tuple(float(answer == target) for answer in answers), **more)
        for index, target in enumerate(targets)
    ]


def own_options(rows):
    return [
        Prediction(str(index), target, target, (0.0,) * len(options), options=options)
        for index, (target, options) in enumerate(rows)
    ]


def written(*targets):
    return [Prediction(str(index), target, target, token_ids=(1, 2)) for index, target in enumerate(targets)]


def test_of_an_answer_set_it_is_the_better_of_chance_and_the_best_constant_in_each_metric():
    # red 5, blue 2, green 1 of 8; always "red": accuracy 5/8; F1 of red 2*5/(8+5), of the others 0
    found = floors(
        chosen(["red"] * 5 + ["blue"] * 2 + ["green"]),
        Scoring(answers=COLOURS),
        ["accuracy", "macro_f1", "weighted_f1", "mcc", "ece", "brier", "label_share"],
    )
    # macro-F1 of guessing, from expected totals: each answer is chosen 8/3 times, a third of its items rightly
    guessed = sum(2 * (true / 3) / (8 / 3 + true) for true in (5, 2, 1)) / 3
    assert guessed > (10 / 13) / 3
    assert found == {
        "accuracy": pytest.approx(5 / 8),
        "macro_f1": pytest.approx(guessed),
        "weighted_f1": pytest.approx(10 / 13 * 5 / 8),
        "mcc": pytest.approx(0, abs=1e-12),
    }


def test_chance_is_the_floor_where_answers_are_equally_frequent():
    found = floors(chosen([*COLOURS] * 4), Scoring(answers=COLOURS), ["accuracy", "macro_f1"])
    assert found == {"accuracy": pytest.approx(1 / 3), "macro_f1": pytest.approx(1 / 3)}


@pytest.mark.parametrize("kind", ["raw", "contextual", "pmi"])
def test_a_constant_answer_is_given_under_any_calibration(kind):
    skewed = chosen(["red"] * 3 + ["blue"], content_free=(9.0, -9.0, 0.0), premise=(-9.0, 9.0, 0.0))
    assert floors(skewed, Scoring(answers=COLOURS, kind=kind), ["accuracy"]) == {"accuracy": 0.75}


def test_of_options_of_each_row_a_constant_place_counts():
    rows = [("a", ("a", "b")), ("c", ("c", "d")), ("e", ("e", "f", "g", "h")), ("k", ("i", "k"))]
    for length_normalised in (False, True):
        found = floors(own_options(rows), Scoring(length_normalised=length_normalised), ["accuracy"])
        assert found == {"accuracy": 0.75}  # the first place; chance is (1/2 + 1/2 + 1/4 + 1/2) / 4


def test_the_place_of_an_answer_that_always_stands_there_is_nothing_a_model_can_guess():
    rows = [("a", ("a", "b")), ("c", ("c", "d", "e", "f")), ("g", ("g", "h"))]
    assert floors(own_options(rows), Scoring(), ["accuracy"]) == {
        "accuracy": pytest.approx((1 / 2 + 1 / 4 + 1 / 2) / 3)
    }


def test_of_one_label_alone_the_constant_answer_is_always_right():
    assert floors(chosen(["red"] * 4), Scoring(answers=COLOURS), ["accuracy"]) == {"accuracy": 1.0}


def test_of_text_it_is_an_empty_answer():
    found = floors(
        written("who is it", "the", "it is 12", "yes"),
        Scoring(),
        ["rouge_l", "token_f1", "bleu", "numeric_match", "label_share", "unparsed"],
    )
    # "the" has no word that counts, so that saying nothing is word for word right
    assert found == {"rouge_l": 0, "token_f1": 0.25, "bleu": 0, "numeric_match": 0.25}


def test_a_constant_text_is_the_best_of_the_most_frequent_references():
    targets = written("no", "no", "no", "yes it is 5", "yes it is 5", "yes it is 7", "yes it is 8", "yes it is 9")
    found = constant_scores(targets, Scoring(), ["accuracy", "token_f1", "unparsed"])
    # always "no": right in 3 of 8; "yes it is 5" shares 3 of 4 words with three others, beside its own two
    assert found == {"accuracy": 3 / 8, "token_f1": pytest.approx((2 + 3 * 3 / 4) / 8)}
    shared = constant_scores(written("a b c", "b c d", "x"), Scoring(), ["token_f1"])
    # no reference occurs twice, so the first one; "a" is an article: "b c" against "b c d" is 2*2/5
    assert shared == {"token_f1": pytest.approx((1 + 4 / 5) / 3)}
    assert constant_scores(chosen(["red"]), Scoring(answers=COLOURS), ["accuracy"]) == {}


def test_a_metric_that_has_no_value_for_silence_has_no_floor(monkeypatch):
    card = MetricCard("words", lambda totals: totals[..., 0] / totals[..., 1], "grade")
    per_word = Metric(card, lambda predictions, _: np.array([[1.0, len(p.raw_answer.split())] for p in predictions]))
    monkeypatch.setitem(METRICS._entries, "words", per_word)
    assert floors(written("a b", "c"), Scoring(), ["words", "token_f1"]) == {"token_f1": 0.0}


def test_many_answers_and_many_rows_cost_no_more_than_their_different_targets():
    labels = tuple(f"label {index}" for index in range(60))
    calls = []
    predictions = chosen([labels[index % 60] for index in range(6_000)], answers=labels)
    card = METRICS["accuracy"]

    def counted(rows, scoring):
        calls.append(len(rows))
        return card.statistics(rows, scoring)

    METRICS._entries["counted"] = Metric(card.card, counted)
    try:
        assert floors(predictions, Scoring(answers=labels), ["counted"]) == {"counted": pytest.approx(1 / 60)}
    finally:
        del METRICS._entries["counted"]
    assert set(calls) == {60}
