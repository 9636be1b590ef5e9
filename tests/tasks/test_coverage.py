import math

import pytest

from spillover.records import Example
from spillover.tasks.coverage import coverage, output_format
from tests.tasks.test_mixture import made_task

MOOD, FREE = made_task("mood", "sentiment", "up", "down"), made_task("free", "other")


def row(target, **fields):
    return Example("1", fields or {"text": "a long story of two dogs"}, target)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("$1,234.5", "number"),
        ("-12 %", "number"),
        ("two dogs", "span"),
        ("1. one\n2. two", "list"),
        ("It is a story about animals.", "sentence"),
        ("First this.\nThen that.", "free text"),
        ("word " * 60, "free text"),
    ],
)
def test_a_free_answer_has_the_format_that_it_looks_like(target, expected):
    assert output_format(row(target), FREE) == expected


def test_an_answer_of_a_set_is_a_label_word_whatever_it_looks_like():
    assert output_format(row("up"), MOOD) == "label word"


def test_one_task_of_one_format_has_coverage_one():
    assert coverage([(row("up"), MOOD)] * 7) == pytest.approx(1)


def test_coverage_is_the_effective_number_of_tasks_times_that_of_formats():
    pairs = [(row("up"), MOOD)] * 3 + [(row("12"), FREE)]
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert coverage(pairs) == pytest.approx(math.exp(entropy) ** 2)
    assert coverage([(row("up"), MOOD), (row("12"), FREE)]) == pytest.approx(4)


def test_rows_with_instructions_of_their_own_are_tasks_of_their_own():
    rows = [(row("12", instruction=f"Do {index}."), FREE) for index in range(5)]
    assert coverage(rows) == pytest.approx(5)
