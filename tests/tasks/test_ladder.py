from collections import Counter

import pytest

from spillover.errors import SpilloverError
from spillover.tasks.ladder import FRUIT, LADDER, PARITY, SUMS, ladder_row

COUNT = 200
ANSWERS = {"parity": PARITY, "addition": tuple(map(str, SUMS))}


def rows(rung, count=COUNT):
    return [ladder_row(rung, number, seed=3) for number in range(count)]


def words_of(line):
    return [word for word in line.partition(": ")[2].replace(" ", "").split(",") if word]


def lists(row):
    """Return the list and what is written of the other one, the answer being its next word."""
    given, begun = row["input"].replace(":", ": ").split("\n")
    return words_of(given), [*words_of(begun), row["answer"]]


def holds(row, ordered):
    given, begun = lists(row)
    return ordered(given)[: len(begun)] == begun


def looked_up(row):
    *pairs, asked = (line.split(": ") for line in row["input"].split("\n"))
    return dict(pairs)[asked[1]] == row["answer"]


def numbers(row):
    return [int(number) for number in row["input"].removeprefix("Numbers: ").split(", ")]


CHECKS = {
    "copying": lambda row: holds(row, list),
    "reversing": lambda row: holds(row, lambda words: words[::-1]),
    "sorting": lambda row: holds(row, sorted),
    "lookup": looked_up,
    "parity": lambda row: ["even", "odd"][sum(numbers(row)) % 2] == row["answer"],
    "addition": lambda row: (
        sum(map(int, row["input"].removesuffix(" =").split(" + "))) == int(row["answer"])
        and min(map(int, row["input"].removesuffix(" =").split(" + "))) >= 1
    ),
}
SIZES = {
    "lookup": lambda row: row["input"].count("\n"),
    "parity": lambda row: len(numbers(row)),
    "addition": lambda row: row["input"].count("+") + 1,
}


def test_there_are_six_kinds_in_three_sizes_each_checked_here():
    kinds = Counter(kind for kind, _ in LADDER.values())
    assert kinds == dict.fromkeys(CHECKS, 3)


@pytest.mark.parametrize("rung", sorted(LADDER))
def test_every_answer_is_right_of_its_size_and_among_the_answers(rung):
    kind, size = LADDER[rung]
    answers = ANSWERS.get(kind, FRUIT)
    for row in rows(rung):
        assert CHECKS[kind](row), row
        assert SIZES.get(kind, lambda row: len(lists(row)[0]))(row) == size
        assert row["answer"] in answers


@pytest.mark.parametrize("rung", sorted(LADDER))
def test_inputs_differ_and_answers_are_about_as_frequent(rung):
    drawn = rows(rung, 400)
    assert len({row["input"] for row in drawn}) == 400
    counts = Counter(row["answer"] for row in drawn)
    answers = ANSWERS.get(LADDER[rung][0], FRUIT)
    assert set(counts) == set(answers)
    assert max(counts.values()) < 1.5 * 400 / len(answers)


def test_fruit_is_in_the_order_of_the_alphabet_with_letters_of_its_own():
    assert list(FRUIT) == sorted(FRUIT)
    assert len({word[0] for word in FRUIT}) == len(FRUIT)


def test_a_row_depends_on_its_number_and_the_seed():
    assert ladder_row("sorting-of-5", 150, seed=0) == ladder_row("sorting-of-5", 150, seed=0)
    assert ladder_row("sorting-of-5", 5, seed=0) != ladder_row("sorting-of-5", 5, seed=1)


def test_more_rows_than_there_are_different_ones_is_an_error():
    with pytest.raises(SpilloverError, match=r"parity-of-1 has hardly more than [0-9]+ different rows; ask for fewer"):
        ladder_row("parity-of-1", 1000, seed=0)
