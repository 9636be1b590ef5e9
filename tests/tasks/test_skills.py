import re

import pytest

from spillover.tasks.coverage import output_format
from spillover.tasks.skills import SKILLS, skill_row

COUNT = 40


def rows(skill):
    return [skill_row(skill, number, seed=3) for number in range(COUNT)]


def items(text):
    return text.split(", ")


def numbers(row):
    return [int(digits) for digits in re.findall(r"\d+", row["instruction"])]


CHECKS = {
    "copy": lambda row: row["output"] == row["input"],
    "reverse-list": lambda row: items(row["input"]) == items(row["output"])[::-1],
    "count-vowels": lambda row: len(re.findall("[aeiou]", row["input"])) == int(row["output"]),
    "extract-number": lambda row: re.findall(r"\d+", row["input"]) == [row["output"]],
    "upper-case": lambda row: row["output"].isupper() and row["output"].lower() == row["input"],
    "first-elements": lambda row: items(row["output"]) == items(row["input"])[: numbers(row)[0]],
    "sort": lambda row: (
        items(row["output"]) == sorted(items(row["output"])) and set(items(row["output"])) == set(items(row["input"]))
    ),
    "antonym": lambda row: row["output"] in items(row["input"].partition(": ")[2]),
    "odd-one-out": lambda row: row["output"] in items(row["input"]) and len(set(items(row["input"]))) == 4,
    "elements-between": lambda row: items(row["output"]) == items(row["input"])[numbers(row)[0] - 1 : numbers(row)[1]],
    "count-words": lambda row: len(row["input"].split()) == int(row["output"]),
    "to-question": lambda row: row["output"].startswith("Does the ") and row["output"].endswith("?"),
}


def test_there_are_twelve_skills_each_checked_here():
    assert len(SKILLS) == 12
    assert set(CHECKS) == set(SKILLS)


@pytest.mark.parametrize("skill", sorted(SKILLS))
def test_every_output_is_right(skill):
    for row in rows(skill):
        assert row["skill"] == skill
        assert CHECKS[skill](row), row


@pytest.mark.parametrize("skill", sorted(SKILLS))
def test_instructions_are_paraphrased_and_inputs_differ(skill):
    assert len({re.sub(r"\d+", "", row["instruction"]) for row in rows(skill)}) >= 2
    assert len({row["input"] for row in rows(skill)}) >= 0.9 * COUNT


def test_the_skills_have_four_output_formats():
    formats = {skill: {output_format(row["output"]) for row in rows(skill)} for skill in SKILLS}
    assert all(len(of_skill) == 1 for of_skill in formats.values())
    assert set().union(*formats.values()) == {"sentence", "list", "number", "span"}


def test_a_row_depends_on_its_number_and_the_seed():
    assert skill_row("sort", 5, seed=0) == skill_row("sort", 5, seed=0)
    assert skill_row("sort", 5, seed=0) != skill_row("sort", 5, seed=1)
    assert skill_row("sort", 5, seed=0) != skill_row("sort", 6, seed=0)
