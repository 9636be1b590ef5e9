import subprocess
import sys

import pytest

from spillover.errors import UserError
from spillover.prompts.demonstrations import (
    choose,
    draw,
    normalised,
    seeded_order,
    with_random_targets,
    with_shuffled_targets,
    without,
)
from spillover.records import Example

POOL = tuple(Example(f"demo:{i}", {"input": f"text {i}"}, "yes") for i in range(8))


def test_normalised_folds_width_case_and_whitespace():
    assert normalised(" Ｆｕｌｌ\u00a0 STRASSE\nstraße ") == "full strasse strasse"


def test_seed_zero_keeps_the_order_of_the_pool():
    assert choose(POOL, 3, seed=0) == POOL[:3]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fewer_demonstrations_are_the_beginning_of_more(seed):
    assert choose(POOL, 2, seed=seed) == choose(POOL, 4, seed=seed)[:2]


def test_another_seed_gives_another_permutation_of_the_same_demonstrations():
    orders = {tuple(row.id for row in choose(POOL, 8, seed=seed)) for seed in range(5)}
    assert len(orders) == 5
    assert {frozenset(order) for order in orders} == {frozenset(row.id for row in POOL)}


def test_a_seeded_order_is_the_same_in_another_process():
    code = "from spillover.prompts.demonstrations import seeded_order; print(seeded_order(20, seed=3, purpose='x'))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(seeded_order(20, seed=3, purpose="x"))


def test_more_demonstrations_than_the_pool_holds_are_refused():
    with pytest.raises(UserError, match="9 demonstrations asked for, but there are 8; ask for 0 to 8"):
        choose(POOL, 9, seed=1)


def test_rows_equal_to_a_demonstration_by_id_or_by_text_are_dropped():
    rows = [
        Example("demo:0", {"input": "changed since"}, "no"),
        Example("test:1", {"input": " TEXT  3"}, "no"),
        Example("test:2", {"input": "other"}, "yes"),
    ]
    assert without(rows, POOL) == ((rows[2],), 2)


def test_a_row_that_shares_only_one_of_two_fields_is_kept():
    shot = Example("d", {"input": "a", "answer": "b"}, "t")
    row = Example("t", {"input": "a", "answer": "c"}, "t")
    assert without([row], [shot]) == ((row,), 0)


def test_rows_draw_different_demonstrations_that_another_process_would_draw_too():
    rows = [Example(f"train:{i}", {"input": f"row {i}"}, "no") for i in range(40)]
    drawn = [draw(POOL, 2, row, seed=0) for row in rows]
    assert len({tuple(shot.id for shot in shots) for shots in drawn}) > 20
    assert drawn == [draw(POOL, 4, row, seed=0)[:2] for row in rows]
    assert drawn != [draw(POOL, 2, row, seed=1) for row in rows]
    code = (
        "from spillover.prompts.demonstrations import draw; from spillover.records import Example as E;"
        "print([s.id for s in draw([E(f'demo:{i}', {'input': f'text {i}'}, '') for i in range(8)], 2,"
        " E('train:0', {'input': ''}, ''), seed=0)])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str([shot.id for shot in drawn[0]])


def test_a_row_is_never_its_own_demonstration():
    for row in POOL:
        assert sorted(shot.id for shot in draw(POOL, 7, row, seed=5)) == sorted({s.id for s in POOL} - {row.id})
    with pytest.raises(
        UserError, match=r"8 demonstrations .* before row demo:3, but there are 7 besides the row itself"
    ):
        draw(POOL, 8, POOL[3], seed=5)


LABELLED = tuple(Example(f"demo:{i}", {"input": f"text {i}"}, label) for i, label in enumerate("aabbbccd"))


def test_shuffled_labels_keep_how_often_each_is_shown_and_rows_as_they_are():
    orders = [with_shuffled_targets(LABELLED, seed=seed) for seed in range(5)]
    for shown in orders:
        assert sorted(row.target for row in shown) == sorted("aabbbccd")
        assert [(row.id, row.fields) for row in shown] == [(row.id, row.fields) for row in LABELLED]
    assert len({tuple(row.target for row in shown) for shown in orders}) == 5
    assert with_shuffled_targets(LABELLED, seed=1) == orders[1]


def test_random_labels_are_of_the_answer_set_evenly_and_the_same_for_a_row_wherever_it_is_shown():
    many = tuple(Example(str(i), {}, "a") for i in range(900))
    drawn = [row.target for row in with_random_targets(many, ("a", "b", "c"), seed=0)]
    assert all(250 < drawn.count(label) < 350 for label in "abc")
    assert with_random_targets(many[5:7], ("a", "b", "c"), seed=0)[0].target == drawn[5]
    assert [row.target for row in with_random_targets(many, ("a", "b", "c"), seed=1)] != drawn
