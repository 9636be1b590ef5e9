"""Cells that are asked otherwise: what it does to keys, to prompts and to what a study reports."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from spillover.config import load_study
from spillover.errors import UserError
from spillover.questions import answered
from spillover.records import BASE, PLAIN, AskedBy
from spillover.report.page import markdown_page
from spillover.steps.predict import Predict
from spillover.steps.verdicts import Shares
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.cell_items import read_cell_items
from spillover.study.cells import cell_name, find_score
from spillover.study.results import collect
from spillover.study.runner import run_study
from tests.study.made_study import make_study
from tests.study.test_runner import Quiet

ASKS = """
test_on: [first, second]
asks:
  receipts: {receipts: {of: fticl}}
  labels: {like: receipts, receipts: {show: [label]}}
  nothing: {receipts: {of: fticl, show: []}}
  shown: {like: receipts, receipts: {where: demonstrations}, only: {tasks: first}}
  copied: {like: receipts, receipts: {corrupt: {test: shuffled}}}
  drawn: {labels: {of: gold, then: shuffled}, only: {shots: 2}}
compare: [{a: base/copied, b: base/receipts}, {a: base/receipts, b: fticl}]
"""


def load(path):
    return load_study(path, cache=path.parent / "cache", notice=lambda line: None)


def with_asks(folder, more=ASKS, *, asked=""):
    """Write the made study with a short training and answers of one length, so that shares are far from 1."""
    path = make_study(folder, more=more)
    for file in (folder / "made.yaml", folder / "first.jsonl", folder / "second.jsonl"):
        file.write_text(file.read_text().replace("down", "no"))
    text = path.read_text().replace("[first, words]", "first").replace("learning_rate: 0.01", "learning_rate: 0.001")
    if asked:
        text = text.replace("sizes: [16]}\n  - {name: fticl", f"sizes: [16], asked: {asked}}}\n  - {{name: fticl")
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("asks")
    study, store = load(with_asks(folder, asked="receipts")), Store(folder / "store")
    outcome = run_study(study, store, Workshop(store), Quiet())
    assert not outcome.failed
    return study, store, collect(study, store, command="spillover run study.yaml")


def asking(study, *, model=BASE, task="first", shots=2, ask=PLAIN) -> Predict:
    return next(
        step.predictions
        for step in (*study.scores, *study.asked_otherwise)
        if (step.predictions.model, step.predictions.cell.tested_on) == (model, task)
        if (step.predictions.cell.shots, step.predictions.cell.ask) == (shots, ask)
    )


def test_asks_add_steps_of_their_own_and_change_no_key_of_the_grid(tmp_path, finished):
    plain = load(with_asks(tmp_path, "test_on: [first, second]"))
    asked = finished[0]
    assert [step.key for step in plain.scores] == [step.key for step in asked.scores]
    assert {step.key for step in plain.steps} < {step.key for step in asked.steps}


@pytest.mark.parametrize(
    ("ask", "shots", "is_plain"),
    [("nothing", 0, True), ("nothing", 2, True), ("shown", 0, True), ("shown", 2, False), ("receipts", 0, False)],
)
def test_an_ask_that_changes_nothing_is_the_plain_cell(finished, ask, shots, is_plain):
    study, store, _ = finished
    otherwise, plain = asking(study, shots=shots, ask=ask), asking(study, shots=shots)
    assert (otherwise.key == plain.key) == is_plain
    assert (otherwise.answered(store) == plain.answered(store)) == is_plain


def test_names_of_asks_and_where_they_are_asked_are_in_no_key(tmp_path, finished):
    renamed = ASKS.replace("copied", "spoilt").replace(", only: {shots: 2}", "")
    assert {step.key for step in load(with_asks(tmp_path, renamed, asked="receipts")).steps} > {
        step.key for step in finished[0].asked_otherwise if step.predictions.cell.shots
    }


def test_a_receipt_is_what_the_classifier_answers_and_how_sure_it_is(finished):
    study, store, _ = finished
    step = asking(study, ask="receipts")
    verdicts = asking(study, model="fticl/first/16/0", shots=0).answered(store)
    items = step.asked_items(Workshop(store))
    assert [item.example_id for item in items] == [verdict.example_id for verdict in verdicts]
    for item, verdict in zip(items, verdicts, strict=True):
        shares = np.exp(verdict.log_likelihoods) / np.exp(verdict.log_likelihoods).sum()
        line = f"\nClassifier's Prediction: {verdict.raw_answer} (Confidence: {shares.max():.3f})\nMood:"
        assert item.prompt.endswith(line)
        assert item.prompt.count("Classifier's Prediction: ") == 3  # of both demonstrations, too


def test_the_token_ids_of_a_prompt_with_receipts_are_those_of_the_text_written_by_hand(finished):
    study, store, _ = finished
    step, workshop = asking(study, ask="receipts"), Workshop(store)
    classifier, rows = dict(step.receipts), step.data.rows(workshop)
    written = []
    for row in rows.test[: step.test_limit]:
        text = ""
        for shown, place in (*((one, "demonstrations") for one in rows.demonstrations[:2]), (row, "test")):
            shares = classifier[place].shares([shown], store)
            label, confidence = shares.labels[shares.values.argmax()], shares.values.max()
            text += f"Text:{shown.fields['text']}\n"
            text += f"Classifier's Prediction: {label} (Confidence: {confidence:.3f})\nMood:"
            text += f"{shown.target}\n\n" if place == "demonstrations" else ""
        written.append(text)
    assert [item.prompt for item in step.asked_items(workshop)] == written
    tokenizer = AutoTokenizer.from_pretrained(study.base.path)
    assert [list(ids) for ids in step.encoded(workshop)[0].prompts] == tokenizer(written)["input_ids"]


def test_receipts_stand_where_and_as_they_are_asked_for(finished):
    study, store, _ = finished
    shown, label = (asking(study, ask=ask).asked_items(Workshop(store))[0].prompt for ask in ("shown", "labels"))
    assert shown.count("Classifier's Prediction") == 2
    assert "Classifier" not in shown.split("\n\n")[-1]
    assert "Confidence" not in label


def test_shuffled_receipts_and_labels_keep_how_often_each_is_shown(finished):
    study, store, _ = finished

    def shown(ask):
        prompts = [item.prompt for item in asking(study, ask=ask).asked_items(Workshop(store))]
        return [prompt.split("Classifier's Prediction: ")[-1].split("\n")[0] for prompt in prompts]

    assert sorted(shown("copied")) == sorted(shown("receipts"))
    assert shown("copied") != shown("receipts")
    workshop = Workshop(store)
    drawn, plain = (asking(study, ask=ask).form(workshop).shown[0] for ask in ("drawn", PLAIN))
    assert sorted(row.target for row in drawn) == sorted(row.target for row in plain)
    assert [row.fields for row in drawn] == [row.fields for row in plain]


def test_every_model_is_asked_the_same_bytes(finished):
    study, store, _ = finished
    base, variant = (asking(study, model=model, ask="receipts") for model in (BASE, "sft/first/16/0"))
    workshop = Workshop(store)
    assert base.encoded(workshop)[0].prompts == variant.encoded(workshop)[0].prompts


def test_a_plan_prices_receipts_before_the_classifier_exists(finished, tmp_path):
    study, _, _ = finished
    step = asking(study, ask="receipts")
    assert step.work(Workshop(Store(tmp_path / "empty"))) > asking(study).work(Workshop(Store(tmp_path / "empty")))


def test_only_the_primary_ask_feeds_what_a_study_reports(finished):
    results = finished[2]
    assert {row.cell.ask for row in results.scores} == {PLAIN}
    without = replace(results, asked_otherwise=(), asks={}, compare=(), unchanged=frozenset())
    with_asks_, alone = (answered(found, resample_count=20) for found in (results, without))
    assert with_asks_.measurements == alone.measurements
    assert [verdict.sentence for verdict in with_asks_.verdicts] == [verdict.sentence for verdict in alone.verdicts]
    assert alone.asked == ()


def test_asks_are_compared_with_plain_with_the_base_and_by_name(finished):
    _, _, results = finished
    found = answered(results, resample_count=20).asked
    kinds = {kind: {(row.a, row.b) for row in found if row.kind == kind} for kind in ("asking", "training", "named")}
    variant = "sft/first/16/0"
    assert (AskedBy(BASE, "copied"), AskedBy(BASE, PLAIN)) in kinds["asking"]
    assert (AskedBy(variant, "receipts"), AskedBy(variant, PLAIN)) in kinds["asking"]
    assert kinds["training"] == {(AskedBy(variant, "receipts"), AskedBy(BASE, "receipts"))}
    assert kinds["named"] == {
        (AskedBy(BASE, "copied"), AskedBy(BASE, "receipts")),
        (AskedBy(BASE, "receipts"), AskedBy("fticl/first/16/0", PLAIN)),
    }
    assert not any(row.a.ask == "nothing" or (row.a.ask, row.cell.shots) == ("shown", 0) for row in found)
    assert {row.cell.tested_on for row in found if row.a.ask == "shown"} == {"first"}


def test_a_paired_difference_is_that_of_the_items(finished):
    study, store, results = finished
    row = next(
        row
        for row in answered(results, resample_count=20).asked
        if row.a == AskedBy(BASE, "receipts") and row.cell.shots
    )
    right = [
        np.mean(
            [item.raw_answer == item.target for item in asking(study, task=row.cell.tested_on, ask=ask).answered(store)]
        )
        for ask in ("receipts", PLAIN)
    ]
    assert (row.a_value, row.b_value) == pytest.approx(right)
    assert row.difference == pytest.approx(right[0] - right[1])


def test_the_report_says_how_it_was_asked(finished):
    page = markdown_page(finished[2], answered(finished[2], resample_count=20))
    assert "How it was asked" in page
    assert "label and confidence of fticl beside demonstrations and the item" in page


def test_stored_prompts_do_not_say_what_a_study_calls_an_ask(finished):
    study, store, _ = finished
    step = asking(study, ask="receipts")
    assert json.loads(store.file(step, "prompt.json").read_text())["cell"] == {
        "tested_on": "first",
        "prompt_form": 1,
        "shots": 2,
        "demonstration_seed": 0,
    }


def test_another_primary_ask_feeds_the_matrix_and_the_plain_one_stands_beside(tmp_path):
    text = "test_on: first\nask: drawn\nasks: {drawn: {labels: {then: random}}}"
    study = load(with_asks(tmp_path, text))
    assert {step.predictions.cell.ask for step in study.scores} == {"drawn"}
    assert {step.predictions.cell.ask for step in study.asked_otherwise} == {PLAIN}


@pytest.mark.parametrize(
    ("asks", "message"),
    [
        ("{a: {like: b}, b: {like: a}}", "asks go round in a circle: a is like b is like a"),
        ("{a: {like: c}}", "unknown ask 'c'"),
        (
            "{a: {labels: {then: shuffled}}, b: {labels: {then: random}}, c: {like: [a, b]}}",
            "'a' and 'b' both set labels",
        ),
        ("{plain: {}}", "choose another name"),
        ("{a: {demonstrations: {encoder: minilm}}}", "encoder and pool are of similar demonstrations"),
        ("{a: {demonstrations: generated}}", "demonstrations.kind is 'generated'"),
        ("{a: {demonstrations: similar}}\nscoring: contextual", "contextual scoring needs the same demonstrations"),
        ("{a: {receipts: {of: nobody}}}", "ask 'a': receipts: unknown model"),
        ("{a: {receipts: {of: sft, show: label, words: 'It is {label} {confidence}'}}}", "show asks for {label}"),
        ("{a: {labels: {then: random}, only: {tasks: third}}}", "unknown tested task 'third'"),
        ("{a: {labels: {then: random}}}\nask: b", "unknown ask 'b'"),
        ("{a: {labels: {then: random}, only: {shots: 2}}}\nask: a", "cannot be for some cells only"),
        ("{a: {labels: {then: random}}}\nbase_asked: b", "unknown ask 'b'"),
        ("{a: {labels: {then: random}}}\ncompare: [{a: base/b, b: base}]", "unknown ask 'b'"),
        ("{a: {labels: {then: random}}}\ncompare: [{a: sft/a, b: base}]", "sft is not asked by 'a'"),
        (
            "{a: {labels: {then: random}}}\ntest_on: [words, first]",
            "random labels need an answer set, which task 'words'",
        ),
    ],
)
def test_what_no_cell_can_be_asked_as_is_refused(tmp_path, asks, message):
    text = f"asks: {asks}" + ("" if "test_on" in asks else "\ntest_on: first")
    with pytest.raises(UserError) as raised:
        load(with_asks(tmp_path, text))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_shown_and_answered_reaches_the_question_of_receipts(finished):
    study, store, results = finished
    read = {(items.asked, items.cell, items.scoring): items for items in results.collected["receipts"]}
    step = asking(study, ask="copied")
    items = read[AskedBy(BASE, "copied"), step.cell, "raw"]
    prompts = [item.prompt.split("Classifier's Prediction: ")[-1] for item in step.asked_items(Workshop(store))]
    assert list(items.shown) == [prompt.split(" ")[0] for prompt in prompts]
    verdicts = asking(study, model="fticl/first/16/0", shots=0).answered(store)
    assert list(items.own) == [verdict.raw_answer for verdict in verdicts]
    assert list(items.final) == [row.raw_answer for row in step.answered(store)]
    assert list(items.alone) == [row.raw_answer for row in asking(study).answered(store)]
    assert sorted(items.shown) == sorted(items.own)
    assert {items.asked.ask for items in read.values()} == {"receipts", "labels", "copied"}
    page = markdown_page(results, answered(results, resample_count=20))
    assert "A small model in the prompt" in page


class MadeVerdicts:
    """A classifier that is no language model: it knows the two answers and another label."""

    labels = ("up", "no", "other")
    reading = {"temperature": 2}

    def __init__(self, step):
        self.step = step

    def shares(self, rows, store):
        ups = np.array([0.2 + 0.06 * (int(row.id[-1], 36) % 10) for row in rows])
        return Shares(self.labels, np.column_stack([ups / 2, (1 - ups) / 2, np.full(len(ups), 0.5)]))


def test_any_source_of_verdicts_is_read_by_one_protocol_over_the_labels_that_both_know(finished):
    study, store, _ = finished
    step, data = asking(study, ask="receipts"), asking(study).data
    other = replace(step, receipts=tuple((place, MadeVerdicts(data)) for place in ("demonstrations", "test")))
    assert other.key != step.key
    prompts, rows = other.form(Workshop(store)).prompts, other.examples(Workshop(store))[0]
    for prompt, row in zip(prompts, rows, strict=True):
        up = 0.2 + 0.06 * (int(row.id[-1], 36) % 10)
        line = f"Classifier's Prediction: {'up' if up >= 0.5 else 'no'} (Confidence: {max(up, 1 - up):.3f})\nMood:"
        assert prompt.endswith(line)


def test_labels_that_no_answer_of_a_task_is_are_refused():
    with pytest.raises(UserError, match="says nothing of a task with the answers a, b"):
        Shares(("up", "no"), np.full((2, 2), 0.5)).within(("a", "b"))


def test_a_cell_of_another_ask_has_a_name_by_which_it_is_found(finished):
    study, _, _ = finished
    (step,) = [step for step in study.asked_otherwise if step.predictions is asking(study, ask="copied")]
    assert cell_name(study, step) == "base:first:2:1:0:copied"
    assert find_score(study, "base:first:2:1:0:copied") is step
    assert find_score(study, "base:first:2").predictions.cell.ask == PLAIN


def test_what_a_model_sees_under_an_ask_is_shown_as_any_cell_is(finished):
    study, store, _ = finished
    found = read_cell_items(study, store, find_score(study, "base:first:2:1:0:copied"))
    assert [item.asked.prompt for item in found.items] == [
        item.prompt for item in asking(study, ask="copied").asked_items(Workshop(store))
    ]
    assert all("Classifier's Prediction" in item.asked.prompt for item in found.items)
