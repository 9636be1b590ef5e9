import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from spillover.errors import SpilloverError, UserError
from spillover.evaluation.metrics import METRICS, Metric, Scoring, statistics, unseen
from spillover.records import MetricCard, Prediction

TEXTS = [
    ("the cat sat on the mat today", "the cat sat on a mat today"),
    ("who is the man in the red car ?", "who is that man ?"),
    ("nothing alike", "something else entirely different here"),
    ("a b c d e f", "a b c d e f"),
]


def answered(pairs):
    return [Prediction(str(index), target, answer) for index, (target, answer) in enumerate(pairs)]


def value(metric, predictions, scoring=None):
    rows = statistics(metric, predictions, scoring or Scoring())
    return float(METRICS[metric].card.combine(rows.sum(axis=0)))


def test_accuracy_counts_answers_that_equal_the_target():
    assert value("accuracy", answered([("a", "a"), ("a", "b"), ("b", "b"), ("-", "a")])) == 0.5


def test_accuracy_takes_composed_and_decomposed_accents_as_equal():
    assert value("accuracy", answered([("Việt", "Vie\u0323\u0302t"), ("cafe", "café")])) == 0.5


def test_bleu_is_that_of_sacrebleu_over_the_corpus():
    predictions = answered(TEXTS)
    expected = BLEU().corpus_score([p.raw_answer for p in predictions], [[p.target for p in predictions]]).score
    assert value("bleu", predictions) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("pairs", [TEXTS[:1], TEXTS[2:3], [("a b c d e", "a x c y e")]])
def test_bleu_smooths_orders_without_a_match_as_sacrebleu_does(pairs):
    predictions = answered(pairs)
    expected = BLEU().corpus_score([p.raw_answer for p in predictions], [[p.target for p in predictions]]).score
    assert value("bleu", predictions) == pytest.approx(expected, abs=1e-9)


def test_bleu_of_empty_texts_is_zero():
    assert value("bleu", answered([("a b c d e", "")])) == 0.0


def test_rouge_l_by_hand():
    # longest common subsequence "who is man ?" less punctuation: who, is, man; 3 of 4 and 3 of 8 words
    precision, recall = 3 / 4, 3 / 8
    expected = 2 * precision * recall / (precision + recall)
    assert value("rouge_l", answered(TEXTS[1:2])) == pytest.approx(expected)


def test_label_share_counts_bare_label_words_of_the_trained_tasks():
    predictions = answered([("q", " Positive. "), ("q", "positive things"), ("q", "negative"), ("q", "")])
    assert value("label_share", predictions, Scoring(("positive", "negative"))) == 0.5
    assert value("label_share", predictions) == 0.0


@pytest.mark.parametrize(
    ("metric", "references", "blind"),
    [
        ("rouge_l", ["好看", "..", "мир", "🙂"], ("..", "🙂")),
        ("token_f1", ["the", "好看", "。"], ("the", "。")),
        ("bleu", ["yes", "🙂", "好看"], ()),
        ("chrf", ["a", "🙂"], ()),
        ("accuracy", ["🙂"], ()),
        ("numeric_match", ["٣", "yes", "🙂"], ()),
        ("label_share", ["🙂"], ()),
        ("macro_f1", ["🙂"], ()),
        ("rouge_l", [], ()),
    ],
)
def test_references_that_a_metric_is_blind_to(metric, references, blind):
    assert unseen(METRICS[metric], references) == blind


def test_a_metric_is_blind_to_references_that_miss_its_best_value():
    def ascii_only(predictions, _):
        return np.array([[float(prediction.raw_answer.isascii()), 1.0] for prediction in predictions])

    metric = Metric(MetricCard("made", lambda totals: totals[..., 0] / totals[..., 1], "share"), ascii_only)
    assert unseen(metric, ["cat", "мир"]) == ("мир",)


def test_a_metric_over_nothing_is_an_error():
    with pytest.raises(SpilloverError, match="accuracy over no predictions has no value"):
        statistics("accuracy", [], Scoring())


def test_an_unknown_metric_comes_with_the_nearest():
    with pytest.raises(UserError, match="unknown metric 'rouge'; did you mean 'rouge_l'"):
        METRICS["rouge"]
