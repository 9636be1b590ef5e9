import json
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoTokenizer

from spillover.config import load_study
from spillover.errors import SpilloverError
from spillover.evaluation.choice import Scoring
from spillover.records import BASE, Prediction
from spillover.steps.score import Score
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.store import Store
from spillover.study.items import ItemReader
from spillover.study.results import MOST_ITEMS, collect
from spillover.study.runner import run_study
from tests.study.made_study import make_study
from tests.study.test_runner import Quiet


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    torch.set_num_threads(1)
    path = make_study(
        tmp_path_factory.mktemp("items"), more="scoring: contextual"
    )  # raw, the shorter answer wins always
    study = load_study(path, cache=path.parent / "cache", notice=lambda line: None)
    store = Store(tmp_path_factory.mktemp("store"))
    assert not run_study(study, store, Workshop(store), Quiet()).failed
    return study, store


def predictions_of(store, step):
    return files.read_predictions(store.file(step.predictions, "predictions.jsonl"))


def is_right(prediction):
    corrected = [nats - prior for nats, prior in zip(prediction.log_likelihoods, prediction.content_free, strict=True)]
    return ("up", "down")[corrected.index(max(corrected))] == prediction.target


def base_steps(study):
    return [step for step in study.scores if step.predictions.variant is None]


def test_the_prompt_and_token_ids_of_every_item_are_those_the_model_was_asked(finished):
    study, store = finished
    tokenizer = AutoTokenizer.from_pretrained(study.base.path)
    for step in base_steps(study):
        ids = [prediction.example_id for prediction in predictions_of(store, step)]
        items = ItemReader(store).asked(step.predictions, ids)
        first = json.loads(store.file(step.predictions, "prompt.json").read_text())
        assert (items[0].prompt, list(items[0].token_ids)) == (first["text"], first["token_ids"])
        assert [item.example_id for item in items] == ids
        assert all(list(item.token_ids) == tokenizer(item.prompt)["input_ids"] for item in items)


def test_items_are_found_by_id_in_the_order_asked_for(finished):
    study, store = finished
    step = base_steps(study)[0]
    ids = [prediction.example_id for prediction in predictions_of(store, step)]
    reader = ItemReader(store)
    everything = {item.example_id: item for item in reader.asked(step.predictions, ids)}
    assert reader.asked(step.predictions, [ids[4], ids[1]]) == (everything[ids[4]], everything[ids[1]])


def test_changes_are_the_items_that_one_model_has_right_and_the_other_wrong(finished):
    study, store = finished
    results = collect(study, store, command="spillover run study.yaml")
    by_cell = {(step.predictions.model, step.predictions.cell): step for step in study.scores}
    answered = {task.name for task in results.tasks if task.answers}
    assert {(row.variant, row.cell) for row in results.changes} == {key for key in by_cell if key[0] != BASE}
    for row in (row for row in results.changes if row.cell.tested_on in answered):
        before = predictions_of(store, by_cell[BASE, row.cell])
        after = predictions_of(store, by_cell[row.variant, row.cell])
        pairs = list(zip(before, after, strict=True))
        lost = [new.example_id for old, new in pairs if is_right(old) and not is_right(new)]
        won = [new.example_id for old, new in pairs if not is_right(old) and is_right(new)]
        assert row.metric == "accuracy"
        assert [change.item.example_id for change in row.regressions] == lost[:MOST_ITEMS]
        assert [change.item.example_id for change in row.gains] == won[:MOST_ITEMS]
        assert (row.regression_count, row.gain_count) == (len(lost), len(won))
    assert any(row.gains or row.regressions for row in results.changes if row.cell.tested_on in answered)


def test_a_choices_shares_sum_to_one_and_the_largest_is_its_answer(finished):
    study, store = finished
    results = collect(study, store, command="spillover run study.yaml")
    changes = [
        change
        for row in results.changes
        if row.cell.tested_on in ("first", "second")
        for change in (*row.regressions, *row.gains)
    ]
    assert changes
    for change in changes:
        for answer in (change.base, change.variant):
            assert sum(answer.shares) == pytest.approx(1)
            assert change.item.options[answer.shares.index(max(answer.shares))] == answer.text
            assert answer.score == float(answer.text == change.item.target)


def test_text_items_are_ordered_by_the_size_of_the_change_and_the_rest_is_counted(finished):
    study, store = finished
    pairs = [(step, other) for step in base_steps(study) for other in study.scores if other.predictions.variant]
    pairs = [
        (base, other)
        for base, other in pairs
        if base.predictions.cell == other.predictions.cell and base.predictions.cell.tested_on == "words"
    ]
    reader, sizes = ItemReader(store), []
    for base, variant in pairs:
        found = reader.changes(base, variant, most=100)
        sizes.append([change.variant.score - change.base.score for change in found.regressions])
        assert sizes[-1] == sorted(sizes[-1])
        assert all(size < 0 for size in sizes[-1])
        few = reader.changes(base, variant, most=1)
        assert few.regressions == found.regressions[:1]
        assert few.regression_count == len(found.regressions)


def test_a_store_without_prompt_ids_still_has_its_items(finished, tmp_path):
    study, store = finished
    older = Store(tmp_path / "older")
    shutil.copytree(store.root, older.root)
    for manifest in older.root.glob("predict/*/manifest.json"):
        content = json.loads(manifest.read_text())
        content["files"].pop("prompt_ids.json", None)
        for newer in ("format", "digest"):
            del content[newer]
        manifest.write_text(json.dumps(content))
    step = base_steps(study)[0]
    ids = [prediction.example_id for prediction in predictions_of(store, step)][:2]
    kept, missing = (ItemReader(place).asked(step.predictions, ids) for place in (store, older))
    assert [item.prompt for item in missing] == [item.prompt for item in kept]
    assert [item.token_ids for item in missing] == [None, None]
    assert None not in [item.token_ids for item in kept]


def test_a_row_that_the_task_no_longer_has_is_an_error_that_names_the_folder(finished):
    study, store = finished
    step = base_steps(study)[0].predictions
    with pytest.raises(SpilloverError, match=f"{step.key}: row 'gone' is not among the rows .* remove the folder"):
        ItemReader(store).asked(step, ["gone"])


def test_reading_items_loads_neither_torch_nor_transformers():
    code = "import sys, spillover.study.items; print(*{'torch', 'transformers'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"


@pytest.mark.parametrize(
    ("text", "token_count", "fault"),
    [
        ("the answer is 7", 3, ""),
        ("seven", 3, "no number given"),
        (" \n", 3, "empty answer"),
        ("1 2 3", 8, "cut off at 8 tokens"),
    ],
)
def test_what_else_than_the_model_may_be_at_fault_is_said_of_a_text(text, token_count, fault):
    generation = SimpleNamespace(max_new_tokens=8)
    task = SimpleNamespace(
        metrics=("numeric_match", "unparsed"), generation=generation, answers=(), has_own_options=False
    )
    step = Score(SimpleNamespace(data=SimpleNamespace(task=task)), ("numeric_match",), (), "raw")
    prediction = Prediction("a", "7", text, token_ids=tuple(range(token_count)))
    assert step.answer_fault(prediction, Scoring()) == fault
    assert step.answer_fault(replace(prediction, log_likelihoods=(-1.0, -2.0)), Scoring()) == ""
