import time
from typing import ClassVar, Literal

import pytest
from pydantic import Field

from spillover.errors import UserError
from spillover.settings import Settings, load_yaml, parse_settings


class Inner(Settings):
    shorthand: ClassVar[str] = "rank"
    rank: int = Field(default=16, gt=0)
    kind: Literal["lora", "full"] = "lora"


class Outer(Settings):
    name: str
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({}, "study.yaml: name is missing; add it"),
        ({"nam": "x"}, "study.yaml: unknown setting 'nam'; did you mean 'name'?"),
        ({"name": "x", "inner": {"rnk": 3}}, "study.yaml: inner: unknown setting 'rnk'; did you mean 'rank'?"),
        ({"name": "x", "many": [1, "two"]}, "study.yaml: many[1] is 'two'; it should be a valid integer, unable"),
        ({"name": "x", "inner": {"kind": "lore"}}, "study.yaml: inner.kind is 'lore'; it should be 'lora' or 'full'"),
        ({"name": "x", "inner": 0}, "study.yaml: inner is 0; it should be greater than 0"),
        (["x"], "study.yaml: the content is ['x']; it should be a valid dictionary"),
        ({"inner": {"rank": 0}}, "study.yaml: name is missing; add it (and 1 more)"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(data, line):
    with pytest.raises(UserError) as caught:
        parse_settings(Outer, data, where="study.yaml")
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_a_bare_value_is_shorthand_for_the_named_field():
    assert parse_settings(Outer, {"name": "x", "inner": 4}, where="s").inner.rank == 4


def test_yaml_words_stay_words_and_numbers_are_numbers(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("answers: [yes, no, on]\nrate: 1e-4\nday: 2024-01-01\ncount: 010\nflag: true\nnothing:\nfive: -5\n")
    assert load_yaml(path) == {
        "answers": ["yes", "no", "on"],
        "rate": 1e-4,
        "day": "2024-01-01",
        "count": "010",
        "flag": True,
        "nothing": None,
        "five": -5,
    }


def test_yaml_merges_may_override_but_a_key_written_twice_is_refused(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, y: 4}\n")
    assert load_yaml(path) == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}, "c": {"x": 3, "y": 4}}
    path.write_text("a: 1\nb:\n  c: 1\n  c: 2\n")
    with pytest.raises(UserError, match=r"a\.yaml: line 4: the key 'c' comes twice"):
        load_yaml(path)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a: [1\nb: 2", r"a\.yaml: line 2: .*; expected valid YAML"),
        (b"a: \xff", r"a\.yaml: byte 3 is not UTF-8; save the file as UTF-8"),
        (b"a: \x01", r"a\.yaml: .*; expected valid YAML"),
        (b"a: !!python/object:os.system x", r"a\.yaml: line 1: could not determine a constructor"),
    ],
)
def test_a_broken_yaml_file_is_named_with_the_place(tmp_path, content, line):
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=line) as caught:
        load_yaml(path)
    assert "\n" not in str(caught.value)


def test_a_missing_yaml_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.yaml: no such file; check the path"):
        load_yaml(tmp_path / "gone.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        load_yaml(tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("list:\n" + "  - a\n" * 1_000_000, "is larger than 1 MB"),
        ("[" + "a," * 200_000 + "a]", "more than 100000 values"),
    ],
)
def test_a_long_list_ends_at_once(tmp_path, text, problem):
    (tmp_path / "long.yaml").write_text(text)
    start = time.process_time()
    with pytest.raises(UserError, match=problem):
        load_yaml(tmp_path / "long.yaml")
    assert time.process_time() - start < 15  # a million values take minutes
