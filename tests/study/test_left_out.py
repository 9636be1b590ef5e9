"""Items whose prompt does not fit under one ask leave every cell of their task and shots, and that is said."""

import json

import pytest
import torch

from spillover.lint.lint import lint
from spillover.questions import answered
from spillover.questions.receipts.step import MOST_TOKENS, AskOfReceipt
from spillover.records import BASE, PLAIN
from spillover.report.page import markdown_page
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.results import collect
from spillover.study.runner import run_study
from tests.study.test_asks import asking, load, with_asks
from tests.study.test_runner import Quiet

ASKS = """
test_on: [first]
asks: {long: {receipts: {of: fticl, where: test, words: "WORDS {label} {confidence}"}, only: {shots: 2}}}
base_asked: long
compare: [{a: base/long, b: fticl}]
interpret: {ask: long, about: [example, override], items: 40}
""".replace("WORDS", "so it says " * 25)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("long")
    path = with_asks(folder, ASKS, asked="long")
    rows = [json.loads(line) for line in (folder / "first.jsonl").read_text().splitlines()]
    for place, row in enumerate(rows):  # every third item is 160 characters, and so tokens, longer, every tenth 36
        row["text"] += " dog" * (40 if place % 3 == 0 else 9 if place % 10 == 5 else 0)
    (folder / "first.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    study, store = load(path), Store(folder / "store")
    findings = lint(study, store, Workshop(store))
    assert not run_study(study, store, Workshop(store), Quiet()).failed
    return study, store, collect(study, store, command="spillover run study.yaml"), findings


def test_every_cell_of_the_task_and_shots_counts_the_same_items(finished):
    study, store, results, _ = finished
    step = asking(study, ask="long")
    short = [row.example_id for row in step.answered(store)]
    every = [row.example_id for row in asking(study).answered(store)]
    assert 2 <= len(short) < len(every)
    counted = {(row.cell.shots, row.example_ids) for row in (*results.scores, *results.asked_otherwise)}
    assert counted == {(0, tuple(every)), (2, tuple(short))}
    assert {row.variant for row in results.scores} == {BASE, "sft/first/16/0", "fticl/first/16/0"}


def test_the_items_are_counted_in_the_report_and_by_lint(finished):
    study, store, results, findings = finished
    lacking = len(asking(study).answered(store)) - len(asking(study, ask="long").answered(store))
    page = markdown_page(results, answered(results, resample_count=20))
    assert f"first at 2 shots: {lacking} items, whose prompts do not fit the model's context as long," in page
    (finding,) = [finding for finding in findings if finding.check == "too-long"]
    assert finding.what.startswith(f"{lacking} of ")


def test_changed_items_and_receipts_are_of_the_items_that_are_left(finished):
    study, store, results, _ = finished
    kept = {row.example_id for row in asking(study, ask="long").answered(store)}
    changed = [row for row in results.changes if row.cell.shots == 2]
    assert changed
    assert {item.asked.example_id for row in changed for item in (*row.regressions, *row.gains)} <= kept
    read = [items for items in results.collected["receipts"] if items.cell.shots == 2]
    assert {items.example_ids for items in read} == {tuple(sorted(kept, key=list(read[0].example_ids).index))}
    assert {name for items in read for name in items.example_ids} == kept


def test_what_a_model_says_of_its_answers_is_asked_of_what_fits_alone(finished):
    study, store, *_ = finished
    kept = [row.example_id for row in asking(study, ask="long").answered(store)]
    steps = [step for step in study.steps if isinstance(step, AskOfReceipt) and step.asked.cell.shots == 2]
    of_example, of_override = (next(step for step in steps if step.about == about) for about in ("example", "override"))
    prompts = {name: prompt for name, _, prompt in of_example.prompts(Workshop(store))}
    assert list(prompts) == kept
    fitting = [name for name in kept if len(prompts[name]) + MOST_TOKENS["example"] <= study.base.context_length]
    assert 0 < len(fitting) < len(kept)  # a token is a character, and the question is longer than what was left
    assert [row.example_id for row in of_example.said(store)] == fitting
    assert {row.example_id for row in of_override.said(store)} <= set(kept)


def test_stored_prompts_are_those_that_were_asked(finished):
    study, store, *_ = finished
    items = asking(study, ask="long").asked_items(Workshop(store))
    assert [item.example_id for item in items] == [row.example_id for row in asking(study, ask="long").answered(store)]
    assert all("so it says" in item.prompt and item.token_ids for item in items)
    assert asking(study, ask=PLAIN).too_long_count(store) == 0
