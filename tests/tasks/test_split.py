import random
from collections import Counter

import pytest

from spillover.errors import UserError
from spillover.prompts.demonstrations import text_of
from spillover.records import Example
from spillover.tasks.split import apart, distinct, split_pool
from spillover.tasks.task import Split


def pool(count, *, group_size=1, labels=("yes", "no", "no")):
    return [
        Example(f"p:{i}", {"input": f"text {i}"}, labels[i % len(labels)], group=f"g{i // group_size}")
        for i in range(count)
    ]


def test_repeated_rows_with_another_target_are_counted_as_contradicting():
    rows = [Example(str(i), {"input": text}, target) for i, (text, target) in enumerate(["ax", "Ax", "ay", "bx"])]
    kept, repeated_count, contradicting_count = distinct(rows)
    assert [row.id for row in kept] == ["0", "3"]
    assert (repeated_count, contradicting_count) == (2, 1)


def test_distinct_keeps_the_first_of_equal_texts():
    rows = [Example(str(i), {"input": text}, "") for i, text in enumerate(["a", "b", " A", "B", "c"])]
    kept, dropped_count, _ = distinct(rows)
    assert [row.id for row in kept] == ["0", "1", "4"]
    assert dropped_count == 2


def test_apart_drops_by_text_and_by_group_and_counts_both():
    rows = pool(4, group_size=2)
    other = [Example("o", {"input": "TEXT 0"}, "", group="g1")]
    assert apart(rows, other, "a test row") == (
        [rows[1]],
        Counter({"equals a test row": 1, "shares a group with a test row": 2}),
    )
    ungrouped = [Example("a", {"input": "a"}, ""), Example("b", {"input": "b"}, "")]
    assert apart(ungrouped[:1], ungrouped[1:], "x")[0] == ungrouped[:1]


@pytest.mark.parametrize("group_size", [1, 3, 7])
def test_parts_share_no_text_and_no_group_and_every_row_is_accounted_for(group_size):
    rows = pool(300, group_size=group_size)
    parts = split_pool(rows, Split(test=80, demonstrations=8), ["yes", "no"])
    assert (len(parts.test), len(parts.demonstrations)) == (80, 8)
    for key in (lambda row: row.group, text_of):
        train, shown, tested = ({key(row) for row in part} for part in (parts.train, parts.demonstrations, parts.test))
        assert len(train | shown | tested) == len(train) + len(shown) + len(tested)
    assert len(parts.train) + 88 + parts.dropped.total() == 300


def test_demonstrations_take_the_answers_in_turn():
    parts = split_pool(pool(100), Split(test=10, demonstrations=7), ["no", "yes"])
    assert [row.target for row in parts.demonstrations] == ["no", "yes", "no", "yes", "no", "yes", "no"]


def test_an_answer_that_never_occurs_has_no_turn():
    parts = split_pool(pool(100), Split(test=10, demonstrations=4), ["maybe", "no", "yes"])
    assert [row.target for row in parts.demonstrations] == ["no", "yes", "no", "yes"]


def test_the_split_does_not_depend_on_anything_but_rows_and_seed():
    rows = pool(100)
    first, again = (split_pool(rows, Split(seed=1, test=20), ["yes", "no"]) for _ in range(2))
    assert first == again
    assert first.test != split_pool(rows, Split(seed=2, test=20), ["yes", "no"]).test


def test_a_group_larger_than_a_tenth_of_the_test_part_goes_to_training():
    rows = [*pool(100), *(Example(f"big:{i}", {"input": f"big {i}"}, "yes", group="big") for i in range(9))]
    random.Random(0).shuffle(rows)
    parts = split_pool(rows, Split(test=80, demonstrations=4), ["yes", "no"])
    assert sum(row.group == "big" for row in parts.train) == 9


def test_parts_that_come_from_elsewhere_get_nothing():
    parts = split_pool(pool(50), Split(test=10, demonstrations=4), [], demonstrations=False, test=False)
    assert (len(parts.train), parts.demonstrations, parts.test) == (50, (), ())


@pytest.mark.parametrize(
    ("rows", "split", "line"),
    [
        (pool(20), Split(test=10, demonstrations=11), "the pool has 20 usable rows; the split asks for 11 demonstr"),
        (pool(20, group_size=10), Split(test=12, demonstrations=1), "the pool's groups leave 10 test rows; the split"),
        (
            pool(20, group_size=10),
            Split(test=2, demonstrations=3),
            "the pool gives 1 demonstrations labelled 'yes', one",
        ),
    ],
)
def test_a_pool_that_is_too_small_says_what_to_lower(rows, split, line):
    with pytest.raises(UserError) as caught:
        split_pool(rows, split, ["yes", "no"])
    assert str(caught.value).startswith(line)
    assert "lower" in str(caught.value)
