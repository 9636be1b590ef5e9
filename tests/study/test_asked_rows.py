"""A step may ask other rows than the test: which those are, what its key says of them, and who may be asked them."""

from dataclasses import replace
from functools import partial

import pytest

from spillover.errors import UserError
from spillover.prompts.demonstrations import text_of
from spillover.records import BASE, Cell
from spillover.steps.asked_rows import THE_TEST, AskedRows
from spillover.steps.step import with_inputs
from spillover.steps.supervise import OutOfFold
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.runner import computed
from spillover.tasks.prepare import training_rows
from tests.study.test_supervised import SFT, SLM, loaded, made, model_of

ASKS = """
asks:
  receipts: {receipts: {of: slm}}
base_asked: receipts
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    path = made(folder)
    path.write_text(path.read_text().replace("test_on: [first, second, words, third]", "test_on: first") + ASKS)
    return loaded(path)


@pytest.fixture
def workshop(tmp_path):
    return Workshop(Store(tmp_path / "store"))


def asking(study, name=BASE, rows=THE_TEST, *, ask="plain", shots=0):
    (task,) = study.suite_tasks
    who = study.asked_model(None if name == BASE else model_of(study, name))
    return task.asking(who, Cell("first", 1, shots, 0, ask), rows)


def test_of_the_test_nothing_is_in_the_key(study):
    grid = {step.predictions.key for step in study.scores}
    assert {asking(study, name).key for name in (BASE, SFT, SLM)} <= grid


def test_other_rows_are_other_steps_whatever_the_limit_of_the_test(study):
    kinds = [AskedRows("demonstrations"), AskedRows("train", 16), study.pool(), study.pool(5)]
    for name in (BASE, SLM):
        steps = [asking(study, name, rows) for rows in (THE_TEST, *kinds)]
        assert len({step.key for step in steps}) == len(steps)
        assert len({step.label for step in steps[:3]}) == 3
    (task,) = study.suite_tasks
    shorter, who = replace(task, limit=7), study.asked_model(None)
    assert shorter.asking(who, Cell("first", 1, 0, 0), kinds[3]).key == asking(study, BASE, kinds[3]).key
    assert shorter.asking(who, Cell("first", 1, 0, 0)).key != asking(study).key


def test_the_pool_holds_the_training_rows_behind_those_that_anyone_learns_from(study, workshop):
    prepared = asking(study).data.rows(workshop)
    every = training_rows(prepared, len(prepared.train), seed=0)
    learnt = {text_of(row) for row in every[:16]}
    asked = asking(study, BASE, study.pool(5)).examples(workshop)[0]
    assert [row.id for row in asked] == [row.id for row in every if text_of(row) not in learnt][:5]
    assert asking(study, BASE, AskedRows("train", 16)).examples(workshop)[0] == every[:16]
    whole = asking(study, BASE, study.pool()).examples(workshop)[0]
    assert len(whole) == len(every) - 16
    assert not {text_of(row) for row in whole} & learnt


def test_a_pool_is_the_same_whatever_else_of_a_training_is_changed(study):
    (sft, *others) = study.learners
    slower = replace(sft, settings=sft.settings.model_copy(update={"epochs": 9}))
    larger = replace(sft, rows=replace(sft.rows, size=20))
    pool, changed, grown = (AskedRows("pool", unlearnt_by=(one, *others)).plain() for one in (sft, slower, larger))
    assert pool == changed != grown


def test_a_pool_of_nothing_is_refused(study, workshop):
    sft = study.learners[0]
    every = replace(sft, rows=replace(sft.rows, size=len(sft.data.rows(workshop).train)))
    with pytest.raises(UserError, match=r"none of its \d+ training rows is left that no variant trains on"):
        AskedRows("pool", unlearnt_by=(every,)).examples(sft.data, "clean", 0, workshop)


def test_verdicts_in_a_prompt_are_on_the_rows_that_are_asked(study):
    step = asking(study, BASE, study.pool(5), ask="receipts", shots=2)
    (_, shown), (_, asked) = step.receipts
    assert (shown.step.part, asked.step.part) == (AskedRows("demonstrations"), study.pool(5))


def test_a_classifier_is_judged_out_of_fold_on_rows_that_it_may_have_learnt_alone(study):
    kinds = {"test": THE_TEST, "pool": study.pool(), "train": AskedRows("train", 16)}
    read = {name: asking(study, SLM, rows).inputs().values() for name, rows in kinds.items()}
    assert [name for name, steps in read.items() if any(isinstance(step, OutOfFold) for step in steps)] == ["train"]


def test_validation_rows_are_asked_and_answered(study, workshop):
    step = asking(study, BASE, study.pool(5))
    for needed in with_inputs([step]):
        workshop.store.write(needed, partial(computed, needed, workshop=workshop))
    given, rows = step.answered(workshop.store), step.examples(workshop)[0]
    assert [row.example_id for row in given] == [row.id for row in rows]
    assert all(len(row.log_likelihoods) == 2 and row.content_free for row in given)
