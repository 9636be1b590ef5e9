import pytest

from spillover.questions.receipts.said import interpretation, parsed
from spillover.questions.receipts.step import SaidOf


@pytest.mark.parametrize(
    ("text", "degree"),
    [("0.3", "0.3"), (" 1 ", "1.0"), ("1.0", "1.0"), ("0", "0.0"), (".7", "0.7"), ("0.8.", "0.8")],
)
def test_a_degree_is_a_number_in_tenths(text, degree):
    assert parsed("influence", text, "", shots=0) == degree


@pytest.mark.parametrize("text", ["0.967", "1.1", "2", "-0.1", "0.5 or so", "high", "", "0,5", "50%", "0.1 0.2"])
def test_anything_else_is_no_degree(text):
    assert parsed("influence", text, "", shots=0) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("“Record Profit”.", "record profit"),
        ("profit", "profit"),
        ("pro", None),
        ("loss", None),
        ("", None),
        ("...", None),
    ],
)
def test_critical_words_stand_in_the_input_as_they_are(text, words):
    assert parsed("features", text, "A record profit, again", shots=0) == words


def test_critical_words_of_a_script_without_spaces_are_found_in_it():
    assert parsed("features", "利润", "公司利润上升", shots=0) == "利 润"


@pytest.mark.parametrize(
    ("text", "example"), [("2", "2"), ("4.", "4"), ("5", None), ("0", None), ("two", None), ("", None)]
)
def test_the_example_is_a_number_of_those_there_are(text, example):
    assert parsed("example", text, "", shots=4) == example


def test_what_is_not_as_asked_is_counted_and_in_no_bin():
    said = [SaidOf(str(index), "up", text) for index, text in enumerate(["0.3", "0.967", "0.3", "none", "1"])]
    found = interpretation("influence", said, dict.fromkeys("01234", ""), shots=2)
    assert (found.item_count, found.unparsed_count, found.unlike) == (5, 2, "0.967")
    assert found.counts == {"0.3": 2, "1.0": 1}
    assert sum(found.counts.values()) + found.unparsed_count == found.item_count
