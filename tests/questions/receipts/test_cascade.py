import random

import pytest

from spillover.questions.receipts.cascade import Judged, best_threshold, cascade

ROWS = Judged(
    targets=("up", "no", "up", "no"),
    alone=("up", "up", "no", "up"),
    own=("no", "no", "up", "no"),
    confidence=(0.4, 0.6, 0.8, 0.9),
)


def test_the_threshold_is_the_one_of_most_right_answers_on_validation_rows():
    assert best_threshold(ROWS) == 0.4  # the model is right on the first row, the classifier on the others
    found = cascade(ROWS, own=("a", "b", "c"), confidence=(0.4, 0.41, 0.1), alone=("x", "y", "z"))
    assert found.answers == ("x", "b", "z")
    assert (found.threshold, found.row_count, found.asked_count) == (0.4, 4, 2)


@pytest.mark.parametrize(("better", "threshold", "answers"), [("own", 0.0, ("a",)), ("alone", 1.0, ("x",))])
def test_where_one_is_always_right_and_the_other_never_it_answers_everything(better, threshold, answers):
    wrong = {"own": ("no",) * 2, "alone": ("no",) * 2} | {better: ("up",) * 2}
    rows = Judged(targets=("up", "up"), confidence=(0.5, 1.0), **wrong)
    assert cascade(rows, own=("a",), confidence=(1.0,), alone=("x",)).threshold == threshold
    assert cascade(rows, own=("a",), confidence=(1.0,), alone=("x",)).answers == answers


@pytest.mark.parametrize("seed", range(20))
def test_no_other_threshold_has_more_right_answers_and_no_lower_one_as_many(seed):
    draw = random.Random(seed)
    labels = [tuple(draw.choice("abc") for _ in range(30)) for _ in range(3)]
    rows = Judged(*labels, confidence=tuple(draw.random() for _ in range(30)))

    def right(threshold):
        chosen = zip(rows.targets, rows.alone, rows.own, rows.confidence, strict=True)
        return sum((own if share > threshold else alone) == target for target, alone, own, share in chosen)

    found = best_threshold(rows)
    grid = [index / 500 for index in range(501)]
    assert right(found) >= max(map(right, grid))
    assert all(right(threshold) < right(found) for threshold in grid if threshold < found)
