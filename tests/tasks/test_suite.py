import hashlib
import json
import re

import pytest

from spillover.errors import UserError
from spillover.tasks.prepare import prepare
from spillover.tasks.suite import builtin_suites, load_suite

MINE = """
families:
  reviews:
    prompts: {1: "{input} ->", 2: {folder: prompts.json, sha256: "%s", at: [1, reviews]}}
    columns: {input: text}
    target: label
    answers: [yes, no]
tasks:
  shop: {family: reviews, sources: {pool: shop.csv}}
  cars: {family: reviews, domain: motors, sources: {pool: cars.csv}, answers: [yes, no, maybe]}
"""


def written(tmp_path, text=MINE, prompts=b'[{}, {"reviews": "Say: {input} "}]'):
    (tmp_path / "prompts.json").write_bytes(prompts)
    path = tmp_path / "mine.yaml"
    path.write_text(text % hashlib.sha256(prompts).hexdigest() if "%s" in text else text)
    return path


def test_tasks_inherit_from_their_family_and_may_override(tmp_path):
    suite = load_suite(written(tmp_path))
    assert suite.name == "mine"
    assert suite.task("shop").domain == "shop"
    assert suite.task("shop").answers == ("yes", "no")
    assert suite.task("cars").domain == "motors"
    assert suite.task("cars").answers == ("yes", "no", "maybe")


def test_an_inline_prompt_and_one_from_the_release_are_templates(tmp_path):
    suite = load_suite(written(tmp_path), folder=tmp_path)
    task = suite.task("shop")
    assert suite.template(task, 1, cache=tmp_path).text == "{input} ->"
    assert suite.template(task, 2, cache=tmp_path).text == "Say: {input} "
    with pytest.raises(UserError, match="unknown prompt form of task 'shop' '3'; known: 1, 2"):
        suite.template(task, 3, cache=tmp_path)


@pytest.mark.parametrize(
    ("prompts", "line"),
    [
        (b'[{}, {"sales": "{input}"}]', r"prompts\.json: has no 'reviews', which prompt 2 of 'shop' asks for"),
        (
            b'[{}, {"reviews": "{question}"}]',
            r"prompts\.json: prompt 2 of 'shop' asks for unknown fields \['question'\]",
        ),
        (b"[{}, ", r"prompts\.json: is not JSON"),
    ],
)
def test_a_release_without_a_fitting_prompt_is_named(tmp_path, prompts, line):
    suite = load_suite(written(tmp_path, prompts=prompts), folder=tmp_path)
    with pytest.raises(UserError, match=line):
        suite.template(suite.task("shop"), 2, cache=tmp_path)


def test_identity_changes_with_what_can_change_rows_and_with_nothing_else(tmp_path):
    (tmp_path / "shop.csv").write_text("text,label\na,yes\n")

    def identity(text):
        suite = load_suite(written(tmp_path, text))
        return json.dumps(suite.identity(suite.task("shop"), cache=tmp_path), sort_keys=True)

    first = identity(MINE)
    assert (
        identity(MINE.replace("->", "=>").replace("answers: [yes, no]\n", "answers: [yes, no]\n    shots: [0]\n"))
        == first
    )
    assert identity(MINE.replace("sources: {pool: shop.csv}", "sources: {pool: shop.csv}, split: {seed: 1}")) != first
    (tmp_path / "shop.csv").write_text("text,label\nb,yes\n")
    assert identity(MINE) != first


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            ("shop: {family: reviews", "shop: {family: review"),
            "mine.yaml: task 'shop': unknown family 'review'; did you",
        ),
        (("shop: {family: reviews, ", "shop: {"), "mine.yaml: task 'shop': family is missing; add it, known: reviews"),
        (
            ("target: label", "taget: label"),
            "mine.yaml: families.reviews: unknown setting 'taget'; did you mean 'target'",
        ),
        (
            ("pool: shop.csv", "pol: shop.csv"),
            "mine.yaml: task 'shop': sources: unknown setting 'pol'; did you mean 'pool'",
        ),
        (("families:", "familys:"), "mine.yaml: unknown setting 'familys'; did you mean 'families'?"),
        (("target: label", ""), "mine.yaml: task 'shop': target is missing; add it"),
    ],
)
def test_a_mistake_in_a_suite_is_one_line_with_its_place(tmp_path, change, line):
    with pytest.raises(UserError, match=re.escape(line)) as caught:
        load_suite(written(tmp_path, MINE.replace(*change, 1)))
    assert "\n" not in str(caught.value)


def test_a_suite_without_tasks_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"mine\.yaml: tasks is missing; add it"):
        load_suite(written(tmp_path, "about: nothing\n"))


def test_unknown_suites_tasks_and_folders_come_with_what_to_do(tmp_path):
    with pytest.raises(
        UserError, match=r"unknown suite 'pockt'; did you mean 'pocket'\? \(or give the path of a \.yaml"
    ):
        load_suite("pockt")
    with pytest.raises(UserError, match=r"gone\.yaml: no such file"):
        load_suite(tmp_path / "gone.yaml")
    with pytest.raises(UserError, match="unknown task of suite 'genpower' 'amazn'; did you mean 'amazon'"):
        load_suite("genpower").task("amazn")
    with pytest.raises(UserError, match="gone: is no folder; give the folder that holds the suite's files"):
        load_suite("genpower", folder=tmp_path / "gone")


def test_the_built_in_suites_have_every_family_with_two_domains():
    assert builtin_suites() == ["finance", "genpower", "pocket", "skills"]
    for name in ("genpower", "pocket"):
        domains = {}
        for task in load_suite(name).tasks.values():
            domains.setdefault(task.family, set()).add(task.domain)
            assert task.digest is not None
            assert task.is_classification == (task.primary_metric == "accuracy")
        assert len(domains) == {"genpower": 5, "pocket": 6}[name]
        assert all(len(names) >= 2 for names in domains.values())


def test_the_genpower_suite_has_the_papers_sets():
    tasks = load_suite("genpower").tasks
    assert len(tasks) == 18
    assert {name for name, task in tasks.items() if task.sources.train} == {
        "xsum",
        "socialqa",
        "amazon",
        "paws",
        "multinli",
    }
    assert load_suite("genpower").training_defaults == {"learning_rate": 2e-5}
    assert load_suite("pocket").training_defaults == {"learning_rate": 1e-4}


def test_a_suite_includes_the_tasks_of_a_built_in_one(tmp_path):
    path = written(tmp_path, MINE + "include: [skills]\n")
    suite = load_suite(path)
    assert set(suite.tasks) == {"shop", "cars", *load_suite("skills").tasks}
    with pytest.raises(UserError, match=r"include: unknown suite 'skils'; did you mean 'skills'"):
        load_suite(written(tmp_path, MINE + "include: [skils]\n"))
    with pytest.raises(UserError, match=r"include: suite 'genpower' has a release of its own; copy the tasks you need"):
        load_suite(written(tmp_path, MINE + "include: [genpower]\n"))


@pytest.mark.parametrize("name", sorted(load_suite("skills").tasks))
def test_generated_tasks_are_prepared_without_any_file_and_have_their_pinned_digest(tmp_path, name):
    suite = load_suite("skills")
    prepared = prepare(suite, suite.task(name), cache=tmp_path)
    assert min(len(prepared.train), len(prepared.test)) >= (40 if name.startswith("facts-few") else 100)
    assert len(prepared.demonstrations) == 16
    assert not list(tmp_path.iterdir())


def test_every_task_of_finance_has_a_digest_and_a_licence_and_says_where_its_files_are_to_be_named(tmp_path):
    suite = load_suite("finance")
    assert all(task.digest and task.licence for task in suite.tasks.values())
    with pytest.raises(
        UserError, match=r"task 'fpb': finance/fpb.*: the suite has no base_url.*its folder with --from"
    ):
        prepare(suite, suite.task("fpb"), cache=tmp_path)


def test_an_included_task_has_the_identity_it_has_at_home(tmp_path):
    own, pocket = load_suite(written(tmp_path, "include: [pocket]\n" + MINE)), load_suite("pocket")
    task = pocket.task("tweets")
    assert own.task("tweets") == task
    assert own.identity(task, cache=tmp_path) == pocket.identity(task, cache=tmp_path)
