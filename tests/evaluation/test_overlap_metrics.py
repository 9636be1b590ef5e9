import unicodedata
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from spillover.evaluation.choice import Scoring
from spillover.evaluation.metrics import METRICS, statistics
from spillover.evaluation.overlap_metrics import common_length
from spillover.prompts.words import words
from spillover.records import Prediction
from tests.robust.budget import fuzzed

CHINESE = [
    ("这部电影非常好看", "这部电影很好看"),
    ("服务态度太差了", "服务不错"),
    ("我买了iPhone 15。", "我买iPhone 15"),
]
JAPANESE = [("これは大きい猫です。", "これは小さい犬です。"), ("東京タワーへ行く", "東京へ行った")]
THAI = [("ที่นี่สวยมาก", "ที่นี่สวย"), ("อาหารอร่อย", "อาหารไม่อร่อย")]
RUSSIAN = [("Кошка сидит на красном ковре", "кошка лежит на ковре"), ("Привет, мир!", "Привет")]
ARABIC = [("القطة تجلس على السجادة الحمراء", "القطة على السجادة"), ("ما اسمك؟", "اسمك")]
HINDI = [("बिल्ली लाल कालीन पर बैठी है।", "बिल्ली कालीन पर है"), ("नमस्ते दुनिया", "दुनिया")]
KOREAN = [("고양이가 빨간 카펫 위에 앉아 있다", "고양이가 카펫 위에 있다")]
ACCENTED = [("Où est le café à côté de l'hôtel ?", "Le café est à côté"), ("Año nuevo", "ano nuevo")]
SCRIPTS = {
    "Chinese": CHINESE,
    "Japanese": JAPANESE,
    "Thai": THAI,
    "Russian": RUSSIAN,
    "Arabic": ARABIC,
    "Hindi": HINDI,
    "Korean": KOREAN,
    "accented": ACCENTED,
}
TOKENIZERS = {"Chinese": "zh", "Japanese": "char", "Thai": "char"}
TEXTS = st.text(st.sampled_from("ab c.dA1 é中文のかไท мир🙂"), max_size=12)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4)


def answered(pairs):
    return [Prediction(str(index), target, answer) for index, (target, answer) in enumerate(pairs)]


def value(metric, pairs):
    return float(METRICS[metric].card.combine(statistics(metric, answered(pairs), Scoring()).sum(axis=0)))


def sides(pairs):
    """Return what sacreBLEU takes: composed answers, and their references."""
    targets, answers = zip(*[[unicodedata.normalize("NFC", text) for text in pair] for pair in pairs], strict=True)
    return list(answers), [list(targets)]


@fuzzed(300)
@given(*[st.text(st.characters(max_codepoint=127), max_size=40) | st.text("ab C1_.", max_size=30)] * 2)
def test_rouge_l_on_ascii_is_that_of_rouge_score_to_the_last_digit(target, answer):
    expected = RougeScorer(["rougeL"], use_stemmer=False).score(target, answer)["rougeL"].fmeasure
    if not words(target) and not words(answer):
        expected = float(target.lower().split() == answer.lower().split())
    assert value("rouge_l", [(target, answer)]) == expected


@fuzzed(200)
@given(st.text("abc", max_size=8), st.text("abc", max_size=8))
def test_the_common_subsequence_is_the_longest_of_all(first, second):
    def subsequences(text):
        return {picked for size in range(len(text) + 1) for picked in combinations(text, size)}

    assert common_length(first, second) == max(map(len, subsequences(first) & subsequences(second)))


@pytest.mark.parametrize(
    ("target", "answer", "expected"),
    [
        (*CHINESE[0], 2 * 6 / (8 + 7)),  # 这部电影好看
        (*JAPANESE[0], 2 * 6 / (9 + 9)),  # これはいです
        (*THAI[0], 2 * 5 / (8 + 5)),  # ที่ นี่ ส ว ย of ที่ นี่ ส ว ย ม า ก
        (*RUSSIAN[0], 2 * 3 / (5 + 4)),  # кошка на ковре
        (*ARABIC[0], 2 * 3 / (5 + 3)),
        (*HINDI[0], 2 * 4 / (6 + 4)),
        (*KOREAN[0], 2 * 4 / (6 + 4)),
        ("Où est le café", "le cafe est où", 2 * 1 / (4 + 4)),
        ("Où est le café", "ou\u0300 le cafe\u0301", 2 * 3 / (4 + 3)),
        ("कुल ४२ है", "कुल 42 है", 1),
    ],
)
def test_rouge_l_by_hand(target, answer, expected):
    assert value("rouge_l", [(target, answer)]) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("target", "answer", "expected"),
    [
        ("...", "...", 1),
        ("...", "..", 0),
        ("🙂", "🙂", 1),
        ("🙂", "🙃", 0),
        ("❤️", "❤", 1),
        ("🙂", "", 0),
        ("🙂", "a", 0),
    ],
)
def test_rouge_l_of_texts_without_a_word_is_whether_they_are_equal(target, answer, expected):
    assert value("rouge_l", [(target, answer)]) == expected


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(("metric", "best"), [("rouge_l", 1), ("bleu", 100), ("chrf", 100), ("token_f1", 1)])
def test_answers_that_equal_their_references_have_the_best_score_in_every_script(script, metric, best):
    targets = [target for target, _ in SCRIPTS[script]]
    assert value(metric, [(target, target) for target in targets]) == pytest.approx(best, abs=1e-9)
    decomposed = [(target, unicodedata.normalize("NFD", target)) for target in targets]
    assert value(metric, decomposed) == pytest.approx(best, abs=1e-9)
    assert 0 < value(metric, SCRIPTS[script]) < best


@pytest.mark.parametrize("script", SCRIPTS)
def test_bleu_is_that_of_sacrebleu_with_a_tokenizer_that_fits_the_references(script):
    scorer = BLEU(tokenize=TOKENIZERS.get(script, "13a"), effective_order=True)
    assert value("bleu", SCRIPTS[script]) == pytest.approx(scorer.corpus_score(*sides(SCRIPTS[script])).score, abs=1e-9)


@fuzzed(200)
@given(st.lists(st.tuples(*[st.text("ab c.", max_size=12)] * 2), min_size=1, max_size=4))
def test_bleu_is_sacrebleus_default_where_an_answer_has_four_words_and_its_effective_order_elsewhere(pairs):
    found = value("bleu", pairs)
    default, effective = (BLEU(effective_order=on).corpus_score(*sides(pairs)) for on in (False, True))
    assert found == pytest.approx(effective.score, abs=1e-9)
    if default.totals[-1]:
        assert found == pytest.approx(default.score, abs=1e-9)


@pytest.mark.parametrize("text", ["yes", "two words", "three short words", "好", "🙂"])
def test_bleu_of_a_right_answer_under_four_words_is_the_best(text):
    assert value("bleu", [(text, text)]) == pytest.approx(100)
    assert value("bleu", [(text, text), ("one two three four", "one two three four")]) == pytest.approx(100)


@fuzzed(300)
@given(PAIRS)
def test_chrf_is_that_of_sacrebleu_over_the_corpus(pairs):
    assert value("chrf", pairs) == pytest.approx(CHRF().corpus_score(*sides(pairs)).score, abs=1e-9)


@pytest.mark.parametrize("script", SCRIPTS)
def test_chrf_is_that_of_sacrebleu_in_every_script(script):
    assert value("chrf", SCRIPTS[script]) == pytest.approx(CHRF().corpus_score(*sides(SCRIPTS[script])).score, abs=1e-9)


def test_chrf_by_hand():
    # characters: 2 of 3 given, 2 of 2 wanted; pairs: 1 of 2 and 1 of 1; triples are left out, the reference has none
    precision, recall = (2 / 3 + 1 / 2) / 2, 1.0
    assert value("chrf", [("好 看", "很好看")]) == pytest.approx(
        100 * 5 * precision * recall / (4 * precision + recall)
    )


@pytest.mark.parametrize("metric", ["rouge_l", "bleu", "chrf"])
def test_values_of_many_resamples_at_once_are_those_of_each(metric):
    rows = statistics(metric, answered(CHINESE), Scoring())
    counts = np.random.default_rng(0).multinomial(3, [1 / 3] * 3, size=(3, 5))
    combine = METRICS[metric].card.combine
    together = combine(counts @ rows)
    assert together.shape == (3, 5)
    assert together[1, 2] == pytest.approx(float(combine(counts[1, 2] @ rows)))


def test_metrics_of_wording_read_the_answer_that_was_chosen():
    asked = Prediction("0", "a long reply", "no", (-6.0, -2.0), options=("a long reply", "no"))
    for metric, best in (("rouge_l", 1), ("bleu", 100), ("chrf", 100)):
        rows = statistics(metric, [asked], Scoring(length_normalised=True))
        assert METRICS[metric].card.combine(rows.sum(axis=0)) == pytest.approx(best)
        assert METRICS[metric].card.combine(statistics(metric, [asked], Scoring()).sum(axis=0)) < best
