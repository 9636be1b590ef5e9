import pytest

from spillover.evaluation.metrics import METRICS, Scoring, statistics
from spillover.evaluation.text_metrics import final_number
from spillover.records import Prediction


def value(metric, *pairs):
    predictions = [Prediction(str(index), target, answer) for index, (target, answer) in enumerate(pairs)]
    return float(METRICS[metric].card.combine(statistics(metric, predictions, Scoring()).sum(axis=0)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("72", 72),
        ("The profit is $1,234.50.", 1234.5),
        ("-21.1%", -21.1),
        ("$-5", -5),
        ("-$5", -5),
        ("- 5", -5),
        ("\u22125", -5),
        ("7-3", 3),
        ("(7) - 3 = 4", 4),
        ("1e-05", 1e-05),
        (".5", 0.5),
        ("0.5.", 0.5),
        ("1, 2, 3", 3),
        ("1,2,3", 3),
        ("12,345,678", 12345678),
        ("so 5 + 3 = 8\n#### 9 apples, 2 left", 9),
        ("#### 4\n#### 5", 5),
        ("it is 6 ####", 6),
        ("答案是-5。", -5),
        ("价格是￥１，２３４．５０元", 1234.5),
        ("-₹5", -5),
        ("₹-5", -5),
        ("增长7-3", 3),
        ("＃＃＃＃ ９ 个", 9),
        ("الجواب هو ١٬٢٣٤٫٥", 1234.5),
        ("پاسخ ۴۲ است", 42),
        ("उत्तर ४२ है", 42),
        ("5 m²", 5),
        ("４２％", 42),
        ("三百", None),
        ("none of them", None),
        ("####", None),
        ("", None),
    ],
)
def test_the_final_number_of_a_text(text, expected):
    assert final_number(text) == expected


@pytest.mark.parametrize(
    ("target", "answer", "is_right"),
    [
        ("100", "101", True),
        ("100", "99", True),
        ("100", "101.01", False),
        ("-0.21053", "-0.21", True),
        ("-0.21053", "0.21053", False),
        ("0", "0.0", True),
        ("0", "0.001", False),
        ("142.4%", "142.4", True),
        ("6 + 6 = 12\n#### 12", "The result is 12", True),
        ("yes", " Yes. ", True),
        ("是", "是。", True),
        ("是", "不是", False),
        ("٤٢", "42", True),
        ("yes", "no", False),
        ("yes", "1", False),
        ("3", "three", False),
        ("3", "", False),
        ("3", "1e999", False),
    ],
)
def test_a_number_is_right_to_within_a_hundredth_of_the_target(target, answer, is_right):
    assert value("numeric_match", (target, answer)) == is_right


def test_answers_without_a_number_are_wrong_and_counted_by_themselves():
    pairs = [("3", "three"), ("3", "3"), ("3", "4"), ("yes", "perhaps")]
    assert value("numeric_match", *pairs) == 0.25
    assert value("unparsed", *pairs) == 0.25
    assert not METRICS["unparsed"].card.higher_is_better


def test_word_f1_by_hand():
    # shared: cat, sat; 2 of 3 words (cat sat down) and 2 of 2
    assert value("token_f1", ("The cat sat down.", "a cat SAT")) == pytest.approx(2 * 2 / 5)
    assert value("token_f1", ("red red blue", "red")) == pytest.approx(2 * 1 / 4)
    assert value("token_f1", ("cat", "dog"), ("cat", ""), ("the", "a")) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("target", "answer", "expected"),
    [
        ("这部电影好看。", "电影好看！", 2 * 4 / (6 + 4)),
        ("猫がいる", "犬がいる。", 2 * 3 / (4 + 4)),
        ("Привет, мир!", "мир", 2 * 1 / (2 + 1)),
        ("ما اسمك؟", "اسمك", 2 * 1 / (2 + 1)),
        ("नमस्ते दुनिया।", "दुनिया", 2 * 1 / (2 + 1)),
        ("“it’s” ok", "it's OK", 1),
        ("cafe\u0301", "Café", 1),
        ("5€", "5", 0),
        ("🙂", "", 0),
    ],
)
def test_word_f1_in_other_scripts_by_hand(target, answer, expected):
    assert value("token_f1", (target, answer)) == pytest.approx(expected)
