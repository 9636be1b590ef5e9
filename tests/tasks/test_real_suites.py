"""The built-in suites on their real data: packages of the index, and the release of the genpower paper."""

import os
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from spillover.errors import UserError
from spillover.prompts.demonstrations import choose, text_of
from spillover.tasks.prepare import prepare, protocol_rows, training_rows
from spillover.tasks.suite import load_suite

pytestmark = pytest.mark.real

RELEASE = Path(__file__).parents[3] / "shared/data/genpower"
ARCHIVES = os.environ.get("SPILLOVER_ARCHIVES")
"""A folder of already downloaded archives; without it they are fetched through the configured index."""
CACHE = Path(os.environ.get("SPILLOVER_TEST_CACHE", Path.home() / ".cache/spillover-tests"))

GENPOWER = sorted(load_suite("genpower").tasks)
POCKET = sorted(load_suite("pocket").tasks)


@pytest.fixture(scope="module")
def genpower():
    if not RELEASE.is_dir():
        pytest.skip(f"no release of the genpower paper at {RELEASE}")
    suite = load_suite("genpower", folder=RELEASE)
    return {name: prepare(suite, task, cache=CACHE) for name, task in suite.tasks.items()}


@pytest.fixture(scope="module")
def pocket():
    suite = load_suite("pocket", folder=Path(ARCHIVES) if ARCHIVES else None)
    try:
        return {name: prepare(suite, task, cache=CACHE) for name, task in suite.tasks.items()}
    except UserError as error:
        if "could not be fetched" in str(error):
            pytest.skip(f"no packages: {error}")
        raise


# Measured by the authors of the method sheet on the same release, 0-based (demonstration, test row).
SHOWN_TEST_ROWS = {
    "paws": [(2, 248), (5, 406)],
    "sst2": [(4, 145), (5, 277)],
    "multinli": [(0, 18)],
    "rte": [(2, 163)],
    "cnn": [(0, 340), (1, 67), (2, 321), (3, 159)],
    "socialqa": [(1, 229)],
    "stsb": [(3, 313)],
    "amazon": [(6, 156)],
    "sciqa": [(6, 9)],
}


@pytest.mark.parametrize("name", GENPOWER)
def test_demonstrations_that_are_test_rows_are_exactly_the_known_ones(genpower, name):
    task = genpower[name]
    found = [
        (i, j)
        for i, shot in enumerate(task.demonstrations)
        for j, row in enumerate(task.test)
        if text_of(shot) == text_of(row)
    ]
    assert found == SHOWN_TEST_ROWS.get(name, [])
    _, dropped = protocol_rows(task, split="test", protocol="clean")
    assert dropped.get("equals a demonstration", 0) == len(found)


@pytest.mark.parametrize(
    ("name", "in_2000", "in_all"), [("paws", 1, 6), ("amazon", 3, 7), ("socialqa", 3, 7), ("xsum", 1, 1)]
)
def test_demonstrations_that_are_training_rows_are_counted(genpower, name, in_2000, in_all):
    task = genpower[name]
    first = training_rows(task, 2000, seed=5)
    assert {row.id for row in first} == {row.id for row in task.train[:2000]}
    for rows, count in ((first, in_2000), (None, in_all)):
        _, dropped = protocol_rows(task, split="train", protocol="clean", rows=rows)
        assert dropped["equals a demonstration"] == count


@pytest.mark.parametrize(
    ("name", "expected"),
    {
        "paws": 0.528,
        "qqp": 0.564,
        "stsb": 0.640,
        "amazon": 0.520,
        "sst2": 0.540,
        "amazonfood": 0.540,
        "yelp": 0.512,
        "multinli": 0.384,
        "multinli2": 0.348,
        "rte": 0.544,
        "gptnli": 0.376,
    }.items(),
)
def test_majority_accuracies_of_the_first_250_rows_are_the_published_ones(genpower, name, expected):
    targets = Counter(row.target for row in genpower[name].test[:250])
    assert targets.most_common(1)[0][1] / 250 == expected


def test_sizes_and_blocks_are_those_of_the_release(genpower):
    blocks = {name: task.train_blocks for name, task in genpower.items() if task.train}
    assert blocks == {
        "xsum": (2000,),
        "socialqa": (2000, 4000, 6000),
        "amazon": (2000, 4000, 5999),
        "paws": (2000, 4000, 5986),
        "multinli": (2000, 4000, 6000),
    }
    assert {name for name, task in genpower.items() if len(task.demonstrations) == 4} == {
        *("xsum", "xlsum", "pdfs", "cnn"),
        "tweetqa",
    }
    assert {name: len(task.test) for name, task in genpower.items() if len(task.test) != 500} == {"cnn": 382}
    for name, count in (("multinli", 8), ("multinli2", 16)):
        _, dropped = protocol_rows(genpower[name], split="test", protocol="clean")
        assert dropped["target '-'"] == count


def test_the_second_prompt_form_is_read_from_the_release(genpower):
    suite = load_suite("genpower", folder=RELEASE)
    for name, task in suite.tasks.items():
        for form in (1, 2):
            template = suite.template(task, form, cache=CACHE)
            assert set(template.fields) == set(task.columns)
            template.render(genpower[name].test[0].fields)
    assert suite.template(suite.task("rte"), 2, cache=CACHE).text.endswith("is ")


@pytest.mark.parametrize("name", POCKET)
def test_parts_of_a_pocket_task_share_no_text_and_no_group(pocket, name):
    task = pocket[name]
    # Few questions of narrativeqa have their answer in the first eighty words of the story.
    assert len(task.train) >= (140 if name == "narrativeqa" else 250)
    assert len(task.test) >= 200
    assert len(task.demonstrations) == 16
    for key in (text_of, lambda row: row.group or row.id):
        parts = [{key(row) for row in part} for part in (task.train, task.demonstrations, task.test)]
        assert len(set().union(*parts)) == sum(map(len, parts))
    for split in ("train", "test"):
        assert protocol_rows(task, split=split, protocol="clean")[1] == {}


@pytest.mark.parametrize("name", POCKET)
def test_every_answer_of_a_pocket_task_is_common_and_demonstrated(pocket, name):
    task = load_suite("pocket").task(name)
    answers = () if task.options else task.answers  # letters say nothing of a row, so parts are not balanced by them
    for part in (pocket[name].train, pocket[name].test):
        counts = Counter(row.target for row in part)
        assert all(counts[answer] >= 0.15 * len(part) for answer in answers)
    if answers:
        assert {row.target for row in choose(pocket[name].demonstrations, len(answers), seed=0)} == set(answers)


@pytest.mark.parametrize("name", ["mmlu", "piqa", "openbookqa", "commonsenseqa"])
def test_both_askings_of_a_multiple_choice_task_have_the_same_rows_in_the_same_parts(pocket, name):
    text, letters = pocket[name], pocket[f"{name}-letters"]
    for part in ("train", "demonstrations", "test"):
        pairs = list(zip(getattr(text, part), getattr(letters, part), strict=True))
        assert all(one.id == other.id and one.fields == other.fields for one, other in pairs)
        assert all(one.options["ABCDE".index(other.target)] == one.target for one, other in pairs)
        assert not any(other.options for _, other in pairs)


@pytest.mark.parametrize("suite_name", ["pocket", "genpower"])
def test_domains_of_a_family_share_no_rows(request, suite_name):
    prepared, tasks = request.getfixturevalue(suite_name), load_suite(suite_name).tasks
    texts = {
        name: {text_of(row) for row in (*task.train, *task.demonstrations, *task.test)}
        for name, task in prepared.items()
    }
    shared = [
        (one, other)
        for one, other in combinations(texts, 2)
        if tasks[one].family == tasks[other].family
        and tasks[one].domain != tasks[other].domain
        and texts[one] & texts[other]
    ]
    assert shared == []
