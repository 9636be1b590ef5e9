import re

import pytest

from spillover.evaluation.json_answers import answers_in
from spillover.tasks.facts import ATTRIBUTES, made_up_names
from spillover.tasks.facts_in_context import context_row, context_rows
from spillover.tasks.prepare import prepare
from spillover.tasks.suite import load_suite

NUMBERS = range(200)
NAMES = made_up_names(0)
KNOWN = frozenset(NAMES)


def sentences(row):
    return re.findall(r"[^.]+\.", row["context"])


def asked_name(row):
    (name,) = KNOWN.intersection(re.findall(r"\w+", row["question"]))
    return name


def test_half_of_the_questions_have_no_answer_in_their_text():
    rows = context_rows(NUMBERS, seed=0)
    assert sum(row["answer"] == "?" for row in rows) == len(NUMBERS) / 2
    assert all(answers_in(row["json"]) == (row["answer"],) for row in rows)
    assert context_rows(NUMBERS, seed=0) == rows
    assert context_rows(range(5, 9), seed=0) == rows[5:9]
    assert context_rows(NUMBERS, seed=1) != rows


@pytest.mark.parametrize("number", range(40))
def test_both_kinds_of_a_row_differ_in_the_fact_alone(number):
    has, has_none = (context_row(number, NAMES, seed=0, has_answer=answer) for answer in (True, False))
    assert has["question"] == has_none["question"]
    differing = [pair for pair in zip(sentences(has), sentences(has_none), strict=True) if pair[0] != pair[1]]
    ((fact, instead),) = differing
    name, told = asked_name(has), ATTRIBUTES[number % len(ATTRIBUTES)][0][-1]
    assert fact.strip() == told.format(name=name, value=has["answer"])
    (other,) = KNOWN.intersection(re.findall(r"\w+", instead))
    assert instead.strip() == told.format(name=other, value=has["answer"])


@pytest.mark.parametrize("number", NUMBERS[:40])
def test_neither_the_name_nor_the_kind_of_fact_tells_whether_there_is_an_answer(number):
    for has_answer in (True, False):
        row = context_row(number, NAMES, seed=0, has_answer=has_answer)
        told = re.escape(ATTRIBUTES[number % len(ATTRIBUTES)][0][-1])
        pattern = told.replace(r"\{name\}", r"(\w+)").replace(r"\{value\}", r"\w+")
        of_kind = {match[1] for match in map(re.compile(pattern).search, sentences(row)) if match}
        assert (asked_name(row) in of_kind) == has_answer
        assert of_kind - {asked_name(row)}
        assert asked_name(row) in row["context"]


def test_the_suites_parts_ask_about_others_and_half_of_each_has_no_answer(tmp_path):
    suite = load_suite("skills")
    prepared = prepare(suite, suite.task("facts-in-context"), cache=tmp_path)
    parts = (prepared.train, prepared.demonstrations, prepared.test)
    asked = [{asked_name(row.fields) for row in part} for part in parts]
    assert sum(map(len, asked)) == len(set.union(*asked)) == sum(map(len, parts))
    for part in parts:
        assert sum(answers_in(row.target) == ("?",) for row in part) == len(part) / 2
