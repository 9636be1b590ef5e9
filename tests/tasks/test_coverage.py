import math

import pytest

from spillover.errors import SpilloverError
from spillover.records import Example
from spillover.settings import parse_settings
from spillover.tasks.coverage import coverage, effective_number, output_format
from spillover.tasks.task import Task


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("yes", "label word"),
        ("False.", "label word"),
        ("up", "label word"),
        ("-1,204.5", "number"),
        ("$ 12.50", "number"),
        ("142.4%", "number"),
        ("1e-05", "number"),
        (".5", "number"),
        ("oak, elm, ash", "list"),
        ("red; blue", "list"),
        ("1. oak\n2. elm", "list"),
        ("- oak\n- elm", "list"),
        ("the old mill", "span"),
        ("12 euros", "span"),
        ("Fulfilled.", "span"),
        ("It rains.", "sentence"),
        ("The mill is old.", "sentence"),
        ('Is it "old"?', "sentence"),
        ("gold rises for a third day as the dollar slips", "sentence"),
        ("When it rains, the old wooden mill by the river stops", "sentence"),
        ("It is old. It is small.", "free text"),
        ("2 + 2 = 4\n#### 4", "free text"),
        ("- oak\nand elm", "free text"),
    ],
)
def test_the_format_of_a_target(target, expected):
    assert output_format(target, ("up", "down")) == expected


def test_the_effective_number_by_hand():
    assert effective_number("aabb") == pytest.approx(2)
    assert effective_number(["a"]) == 1
    # shares 1/2, 1/4, 1/4: entropy = 1/2 ln 2 + 2 * 1/4 ln 4 = 1.5 ln 2
    assert effective_number("aabc") == pytest.approx(2**1.5)
    with pytest.raises(SpilloverError, match="the effective number of no rows has no value"):
        effective_number([])


def made(name, **changes):
    settings = {
        "family": "f",
        "domain": "d",
        "sources": {"pool": "a.csv"},
        "columns": {"input": "text", "skill": "skill"},
        "target": "label",
        "prompts": {1: "{input}"},
    }
    return parse_settings(Task, {**settings, "name": name, **changes}, where="suite")


def examples(*pairs):
    return [Example(str(number), {"input": "x", "skill": kind}, target) for number, (kind, target) in enumerate(pairs)]


def test_one_task_with_one_format_has_coverage_one():
    rows = examples(("copy", "up"), ("sort", "down"))
    assert coverage([(made("one", answers=["up", "down"]), rows)]).number == 1


def test_kinds_and_formats_multiply():
    rows = examples(("copy", "3"), ("Copy ", "the mill"), ("sort", "4"), ("sort", "old oak"))
    found = coverage([(made("broad", kind="skill"), rows)])
    assert (found.kind_count, found.format_count, found.number) == pytest.approx((2, 2, 4))


def test_rows_of_several_tasks_are_of_different_kinds():
    parts = [(made("one"), examples(("copy", "3"))), (made("two"), examples(("copy", "4"), ("copy", "5")))]
    # shares 1/3 and 2/3
    expected = math.exp(math.log(3) - 2 / 3 * math.log(2))
    assert coverage(parts).number == pytest.approx(expected)
