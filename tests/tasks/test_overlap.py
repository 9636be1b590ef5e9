import random

import pytest

from spillover.records import Example
from spillover.tasks.overlap import NEAR, equal_rows, near_rows


def rows(*texts):
    return [Example(str(index), {"text": text}, "x") for index, text in enumerate(texts)]


def jaccard(left: str, right: str) -> float:
    """By brute force over the sets of runs of five characters."""
    one, two = ({text[at : at + 5] for at in range(len(text) - 4)} for text in (left, right))
    return len(one & two) / len(one | two)


def test_equal_rows_are_those_whose_normalised_text_is_the_same():
    pairs = equal_rows(rows("A  dog runs", "a cat sits"), rows("the sun", "a dog RUNS"))
    assert [(pair.row, pair.other, pair.similarity) for pair in pairs] == [(0, 1, 1.0)]


def test_near_rows_are_exactly_those_that_brute_force_finds():
    draw = random.Random(3)
    words = ["good", "bad", "dog", "cat", "sun", "rain", "big", "small", "blue", "red", "runs", "sits"]
    known = [" ".join(draw.choices(words, k=20)) for _ in range(60)]
    asked = []
    for text in known:
        changed = text.split()
        for _ in range(draw.choice([1, 2, 3, 8])):
            changed[draw.randrange(20)] = draw.choice(words)
        asked.append(" ".join(changed))
    expected = {
        index
        for index, text in enumerate(asked)
        if text not in known and max(jaccard(text, other) for other in known) >= NEAR
    }
    assert 5 < len(expected) < 55
    pairs = near_rows(rows(*asked), rows(*known))
    assert {pair.row for pair in pairs} == expected
    for pair in pairs:
        assert pair.similarity == pytest.approx(jaccard(asked[pair.row], known[pair.other]))
        assert pair.similarity == pytest.approx(max(jaccard(asked[pair.row], other) for other in known))


def test_a_row_that_is_equal_is_not_also_near_and_short_or_empty_texts_are_compared_too():
    assert near_rows(rows("the same words as there"), rows("the same words as there")) == []
    assert near_rows(rows("abc", "", "\U0001f600"), rows("xyz")) == []
    assert near_rows(rows("abc"), []) == []
