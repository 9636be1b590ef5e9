"""A whole study in miniature that asks for a cascade and for what the model says of the verdicts it was shown."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from spillover.config import load_study
from spillover.errors import UserError
from spillover.evaluation.choice import Scoring, chosen_answer, of_cell
from spillover.questions import answered
from spillover.questions.receipts.beyond import cells_with_receipts, sayings, validated
from spillover.questions.receipts.step import MOST_TOKENS, QUESTIONS, AskOfReceipt
from spillover.report.page import markdown_page
from spillover.report.write import summary
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.results import collect
from spillover.study.runner import run_study
from tests.study.test_runner import Quiet
from tests.study.test_supervised import made

STUDY = """
base: ./model
suite: ./made.yaml
variants:
  - {name: words, train_on: second, sizes: 16, supervised: tfidf}
test_on: [first]
shots: [0, 2]
test_limit: 10
precision: float32
asks:
  receipts: {receipts: {of: words}}
  shown: {receipts: {of: words, where: demonstrations}}
cascade: 8
interpret: {ask: receipts, items: 6}
"""


def loaded(folder, text=STUDY):
    return load_study(made(folder, text), cache=folder / "cache", notice=lambda _: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("beyond")
    study, store = loaded(folder), Store(folder / "store")
    assert not run_study(study, store, Workshop(store), Quiet()).failed
    return study, store, collect(study, store, command="spillover run study.yaml")


def cell(study, shots):
    return next(asked for _, asked in cells_with_receipts(study) if asked.cell.shots == shots)


def test_validation_rows_are_no_test_rows_and_none_that_a_variant_learns_from(finished):
    study, store, _ = finished
    workshop = Workshop(store)
    rows = validated(study, cell(study, 2)).alone.examples(workshop)[0]
    assert len(rows) == 8
    data = cell(study, 2).data.rows(workshop)
    others = {(row.id, *row.fields.values()) for row in (*data.test, *data.demonstrations)}
    assert not others & {(row.id, *row.fields.values()) for row in rows}
    learnt = {tuple(row.fields.values()) for row in study.classifiers[0].rows(workshop)[0].examples}
    assert not learnt & {tuple(row.fields.values()) for row in rows}


def test_the_cascade_is_of_what_both_say_of_validation_rows_and_items(finished):
    study, store, results = finished
    for items in results.collected["receipts"]:
        steps, workshop = validated(study, cell(study, items.cell.shots)), Workshop(store)
        given, judged = steps.alone.answered(store), steps.classifier.answered(store)
        rule = of_cell(Scoring(answers=("up", "down"), kind=items.scoring), given)
        shares = np.exp([row.log_likelihoods for row in judged])
        rows = list(zip(given, judged, shares.max(axis=1), strict=True))
        assert [one.example_id for one, _, _ in rows] == [row.id for row in steps.alone.examples(workshop)[0]]

        def right(threshold, rows=rows, rule=rule):
            return sum(
                (judge.raw_answer if share > threshold else chosen_answer(one, rule)) == one.target
                for one, judge, share in rows
            )

        assert items.cascade.row_count == 8
        assert right(items.cascade.threshold) == max(right(threshold / 400) for threshold in range(401))
        both = zip(items.confidence, items.own, items.alone, strict=True)
        assert list(items.cascade.answers) == [
            own if share > items.cascade.threshold else alone for share, own, alone in both
        ]


def test_the_model_is_asked_behind_its_answer_and_of_overrides_alone_why(finished):
    study, store, results = finished
    asked, workshop = cell(study, 2), Workshop(store)
    steps = {step.about: step for step in sayings(study, asked)}
    assert set(steps) == {"influence", "features", "example", "override"}
    assert [step.about for step in sayings(study, cell(study, 0))] == ["influence", "features", "override"]
    items = next(items for items in results.collected["receipts"] if (items.cell.shots, items.scoring) == (2, "batch"))
    wanted = [
        f"{prompt}{answer}\n{QUESTIONS['example'].format(shots=2)}"
        for prompt, answer in zip(asked.form(workshop).prompts, items.final, strict=True)
    ]
    assert [prompt for _, _, prompt in steps["example"].prompts(workshop)] == wanted[:6]
    overrides = [
        name for name, own, final in zip(items.example_ids, items.own, items.final, strict=True) if own != final
    ]
    assert [name for name, _, _ in steps["override"].prompts(workshop)] == overrides[:6]
    said = {step.about: step.said(store) for step in steps.values()}
    assert {about: len(rows) for about, rows in said.items()} == {
        **dict.fromkeys(("influence", "features", "example"), 6),
        "override": len(overrides[:6]),
    }
    encoder = asked.own_encoder(workshop)
    assert all(
        "\n" not in row.text and len(encoder.targets([row.text])[0]) <= MOST_TOKENS[about]
        for about, rows in said.items()
        for row in rows
        if row.text
    )
    counted = {item.about: item for item in items.said}
    assert {about: item.item_count for about, item in counted.items()} == {
        about: len(rows) for about, rows in said.items()
    }


def test_confidence_before_scaling_is_that_of_the_classifier_without_its_temperature(finished):
    study, store, results = finished
    (classifier,), workshop = study.classifiers, Workshop(store)
    assert classifier.log(store)["temperature"] != 1
    items, asked = results.collected["receipts"][0], cell(study, 0)
    fitted = classifier.settings.open(classifier.weights(store), device="cpu")
    logits = fitted.logits([tuple(row.fields.values()) for row in asked.examples(workshop)[0]])
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(items.unscaled, shares.max(axis=1), atol=1e-6)


def test_the_section_says_so_and_the_summary_is_json(finished):
    _, _, results = finished
    analysis = answered(results, resample_count=20)
    page = markdown_page(results, analysis)
    for words in (
        "How far the verdict influenced the answer",
        "In the cascade the classifier answers",
        "before temperature scaling",
    ):
        assert words in page
    row = summary(results, analysis)["receipts"][0]
    assert row["cascade_row_count"] == 8
    assert [said["about"] for said in row["said"]] == ["influence", "features", "override"]
    json.dumps(row, allow_nan=False)
    unasked = replace(
        results,
        collected={"receipts": tuple(replace(i, said=(), cascade=None) for i in results.collected["receipts"])},
    )
    page = markdown_page(unasked, answered(unasked, resample_count=20))
    assert "influenced the answer" not in page
    assert "In the cascade" not in page


def test_nothing_more_is_asked_unless_a_study_asks_for_it_and_no_key_changes(tmp_path, finished):
    plain = loaded(tmp_path, STUDY[: STUDY.index("cascade")])
    assert plain.asked_beside == ()
    assert {step.key for step in plain.steps} < {step.key for step in finished[0].steps}


def test_what_is_said_hangs_on_the_answers_and_on_what_is_asked(finished):
    asked = cell(finished[0], 2)
    step = AskOfReceipt(asked, "influence", 6)
    others = [replace(step, about="features"), replace(step, item_count=5), replace(step, asked=cell(finished[0], 0))]
    assert len({step.key, *(other.key for other in others)}) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("ask: receipts", "ask: receipt"), "interpret: unknown ask 'receipt'; did you mean 'receipts'"),
        (("ask: receipts", "ask: shown"), "interpret: ask 'shown' shows no receipt beside the items"),
        (("items: 6", "items: 6, only: {shots: 4}"), "interpret: ask 'receipts' shows no receipt"),
        (("  receipts: {receipts: {of: words}}\n", ""), "cascade: no ask shows receipts beside the items"),
    ],
)
def test_what_nothing_stands_for_is_refused_before_anything_runs(tmp_path, change, message):
    text = STUDY.replace(*change)
    if "cascade:" in message:
        text = text[: text.index("interpret")]
    with pytest.raises(UserError, match=message):
        assert loaded(tmp_path, text).steps
