import subprocess
import sys

import pytest

from spillover.store.identity import canonical, digest


def test_keys_do_not_depend_on_the_order_of_fields_or_on_list_and_tuple():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": (1, 2), "a": 1})


@pytest.mark.parametrize("other", [{"a": 2}, {"a": 1.0}, {"a": True}, {"a": "1"}, {"a": None}, {"a": [1]}, {"b": 1}])
def test_every_difference_in_value_or_type_is_another_key(other):
    assert digest({"a": 1}) != digest(other)


def test_floats_are_exact():
    assert digest(0.1 + 0.2) != digest(0.3)
    assert digest(1e-4) == digest(0.0001)


@pytest.mark.parametrize("value", [{1, 2}, object(), float("nan"), float("inf"), {1: "a"}, b"x", {"a": [{2}]}])
def test_values_without_stable_bytes_are_refused(value):
    with pytest.raises(TypeError, match="stable bytes"):
        canonical(value)


def test_a_key_is_the_same_in_a_fresh_process():
    code = "from spillover.store.identity import digest; print(digest({'b': [1.5, 'é'], 'a': None}))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {digest({"a": None, "b": [1.5, "é"]}) + "\n"}
