"""Questions answered in words, with another model's answers in the prompt: a whole study of a tiny model."""

import json
import math

import numpy as np
import pytest
import torch

from spillover.config import load_study
from spillover.errors import UserError
from spillover.evaluation.answer_metrics import gold_of
from spillover.evaluation.json_answers import abstains, answers_in, is_right
from spillover.models.tokenizer import load_encoder
from spillover.questions import answered
from spillover.questions.receipts.answers import ALONE, SHOWN, TOGETHER, WHO, WRITER
from spillover.records import BASE, PLAIN
from spillover.report.page import markdown_page
from spillover.steps.confidence import Confidence
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.results import collect
from spillover.study.runner import run_study
from tests.study.made_study import make_model
from tests.study.test_runner import Quiet

SUITE = """
families:
  question:
    prompts: {1: "Text:{text}\\nReply:"}
    columns: {text: text}
    target: answer
    metrics: [json_match, valid_json, json_match_valid, json_match_answerable, json_match_unanswerable, hallucination]
    shots: [0, 1]
    generation: {max_new_tokens: 20, stop: "\\n"}
    split: {demonstrations: 4, test: 12}
  mood:
    prompts: {1: "Text:{text}\\nMood:"}
    columns: {text: text}
    target: mood
    answers: [up, no]
    split: {demonstrations: 4, test: 12}
tasks:
  asked: {family: question, sources: {pool: rows.jsonl}}
  moods: {family: mood, sources: {pool: rows.jsonl}}
"""
STUDY = """
base: ./model
suite: ./made.yaml
variants:
  - {name: sft, train_on: asked, sizes: [16]}
test_on: [asked]
shots: [0, 1]
training: {epochs: 40, batch_size: 4, learning_rate: 0.02}
precision: float32
"""
ASKS = """
asks:
  every: {receipts: {of: sft, abstain_below: 0}}
  receipts: {receipts: {of: sft}}
  sure: {like: receipts, receipts: {show: [answer, confidence], words: "Perhaps {answer} ({confidence})."}}
  never: {like: receipts, receipts: {abstain_below: 1}}
  nothing: {receipts: {of: sft, show: []}}
  copied: {like: every, receipts: {corrupt: {test: shuffled}}}
"""


def written(folder, more=ASKS):
    folder.mkdir(parents=True, exist_ok=True)
    make_model(folder / "model")
    rows = [
        {"text": f"{'ab'[at % 2] * 3} {at}", "answer": json.dumps({"answer": ("up", "?")[at % 2]}), "mood": "up"}
        for at in range(60)
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    (folder / "made.yaml").write_text(SUITE)
    path = folder / "study.yaml"
    path.write_text(STUDY + more)
    return path


def load(path):
    return load_study(path, cache=path.parent / "cache", notice=lambda line: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("answers")
    study, store = load(written(folder)), Store(folder / "store")
    outcome = run_study(study, store, Workshop(store), Quiet())
    assert not outcome.failed
    return study, store, collect(study, store, command="spillover run study.yaml")


def asking(study, *, model=BASE, shots=0, ask=PLAIN):
    return next(
        step.predictions
        for step in (*study.scores, *study.asked_otherwise)
        if step.predictions.model == model and (step.predictions.cell.shots, step.predictions.cell.ask) == (shots, ask)
    )


def writer(study):
    return asking(study, model="sft/asked/16/0")


def shown_lines(study, store, ask, words="Potential answer: "):
    items = asking(study, ask=ask).asked_items(Workshop(store))
    return [item.prompt.split(words)[-1].removesuffix("\nReply:") for item in items]


def test_the_writer_answers_in_json_and_not_always_the_same(finished):
    study, store, _ = finished
    assert len({answers_in(row.raw_answer) for row in writer(study).answered(store)}) > 1


def test_confidence_is_the_probability_of_the_text_in_a_pass_of_transformers_own(finished):
    study, store, _ = finished
    (confidence,) = [step for step in study.steps if isinstance(step, Confidence) and step.predictions.rows.is_test]
    sure, asked = confidence.probabilities(store), writer(study)
    model = asked.variant.whole_model(store)
    prompts = load_encoder(asked.base.path).prompts([item.prompt for item in asked.asked_items(Workshop(store))])
    for ids, row in zip(prompts, asked.answered(store), strict=True):
        with torch.inference_mode():
            logs = model(torch.tensor([[*ids, *row.token_ids]])).logits[0].log_softmax(dim=-1)
        nats = sum(float(logs[len(ids) - 1 + at, token]) for at, token in enumerate(row.token_ids))
        assert sure[row.example_id] == pytest.approx(math.exp(nats), rel=1e-3)
    assert len({round(value, 6) for value in sure.values()}) > 1


def test_a_receipt_is_the_parsed_answer_or_a_question_mark_below_the_threshold(finished):
    study, store, _ = finished
    confidence = next(step for step in study.steps if isinstance(step, Confidence) and step.predictions.rows.is_test)
    sure = confidence.probabilities(store)
    rows = writer(study).answered(store)
    given = [", ".join(answers_in(row.raw_answer)) or "?" for row in rows]
    assert shown_lines(study, store, "every") == given
    kept = [text if sure[row.example_id] >= 0.5 else "?" for text, row in zip(given, rows, strict=True)]
    assert shown_lines(study, store, "receipts") == kept
    with_confidence = [f"{text} ({sure[row.example_id]:.3f})." for text, row in zip(kept, rows, strict=True)]
    assert shown_lines(study, store, "sure", "Perhaps ") == with_confidence
    assert set(shown_lines(study, store, "never")) == {"?"}
    assert sorted(shown_lines(study, store, "copied")) == sorted(given)


def test_demonstrations_carry_the_writers_answers_to_them(finished):
    study, store, _ = finished
    prompt = asking(study, shots=1, ask="every").asked_items(Workshop(store))[0].prompt
    assert prompt.count("Potential answer: ") == 2


def test_a_threshold_is_part_of_the_key_and_a_name_is_not(finished, tmp_path):
    study = finished[0]
    keys = {ask: asking(study, ask=ask).key for ask in (PLAIN, "every", "receipts", "sure", "never", "nothing")}
    assert len(set(keys.values())) == len(keys) - 1
    assert keys["nothing"] == keys[PLAIN]
    renamed = load(written(tmp_path, ASKS.replace("every", "all").replace("receipts: {receipts: {of: sft}}", "")
                           .replace("like: receipts", "like: all")))  # fmt: skip
    assert asking(renamed, ask="all").key == keys["every"]
    plain = load(written(tmp_path / "plain", ""))
    assert [step.key for step in plain.scores] == [step.key for step in study.scores]


def test_what_is_shown_before_anything_is_written_is_as_long_as_an_answer_may_be(finished, tmp_path):
    workshop = Workshop(Store(tmp_path / "empty"))
    study = finished[0]
    assert asking(study, ask="receipts").work(workshop) > asking(study).work(workshop)
    confidence = next(step for step in study.steps if isinstance(step, Confidence))
    assert 0 < confidence.work(workshop) < writer(study).work(workshop)


def test_the_section_has_what_the_models_answered(finished):
    study, store, results = finished
    (found,) = [
        row
        for row in answered(results, resample_count=20).findings["receipts"].answers
        if (row.items.cell.ask, row.items.cell.shots) == ("receipts", 0) and row.items.asked.variant == BASE
    ]
    rows = {ALONE: asking(study), WRITER: writer(study), TOGETHER: asking(study, ask="receipts")}
    for who, step in rows.items():
        given = [(answers_in(row.raw_answer), gold_of(row.target)) for row in step.answered(store)]
        right = np.mean([is_right(*pair) for pair in given])
        made_up = [bool(answers) and not abstains(answers) for answers, gold in given if abstains(gold)]
        assert found.values[who]["json_match"] == pytest.approx(right)
        assert found.values[who]["hallucination"] == pytest.approx(np.mean(made_up))
    assert found.values[SHOWN]["valid_json"] == 1
    assert {(row.metric, row.other): row.value for row in found.differences} == pytest.approx(
        {
            (metric, other): found.values[TOGETHER][metric] - found.values[other][metric]
            for metric in ("json_match", "hallucination")
            for other in (ALONE, WRITER)
        }
    )
    page = markdown_page(results, answered(results, resample_count=20))
    assert "A small model in the prompt" in page
    assert "Where questions may have no answer" in page
    assert all(who in page for who in WHO)
    assert "answer of sft beside demonstrations and the item" in page


@pytest.mark.parametrize(
    ("asks", "message"),
    [
        ("{a: {receipts: {of: words}}}", "receipts of 'words' on 'asked': it has no answer set"),
        ("{a: {receipts: {of: sft, corrupt: {test: random-label}}}}", "random labels of receipts need an answer set"),
        ("{a: {receipts: {of: sft, show: label, words: 'It is {label}'}}}", "words hold {label}, and 'asked'"),
        ("{a: {receipts: {of: sft, abstain_below: 2}}}", "should be less than or equal to 1"),
        (
            "{a: {receipts: {of: sft, show: answer}}}",
            "show: answer is of tasks that are answered in words, and 'moods'",
        ),
    ],
)
def test_what_no_answer_can_be_shown_as_is_refused(tmp_path, asks, message):
    path = written(tmp_path, f"asks: {asks}\n")
    words = "  - {name: words, train_on: moods, supervised: {kind: tfidf}, sizes: [16]}\ntest_on: [asked, moods]\n"
    path.write_text(path.read_text().replace("test_on: [asked]\n", words))
    with pytest.raises(UserError) as raised:
        load(path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
