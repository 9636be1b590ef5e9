"""A whole study in miniature whose base can do its tasks, so that a training that ruins it has something to lose."""

import json
import random
import re

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.commands.called import call
from tests.study.made_study import make_model

PROMPTS, ANSWERS = {"near": "{text}:", "far": "{text} ="}, {"near": ("up", "down"), "far": ("yes", "no")}
TASK = """
  {name}:
    family: {name}
    sources: {{pool: {name}.jsonl}}
    columns: {{text: text}}
    target: answer
    split: {{demonstrations: 2, test: 200}}
"""
STUDY = """
base: ./model
suite: ./made.yaml
variants: [{name: sft, train_on: near, sizes: [32]}]
test_on: [near, far]
shots: 0
training: {epochs: 2, batch_size: 4, learning_rate: 1.0e-1}
precision: float32
"""


def rows_of(name):
    """Return 400 texts and their answers; the first letter of a text says which of two it is."""
    draw = random.Random(name)
    texts = [f"{draw.choice('ab')} {draw.choice(('good', 'bad', 'dog', 'cat'))} {index}" for index in range(400)]
    return [(text, ANSWERS[name][text[0] == "b"]) for text in texts]


def teach(folder):
    """Train the tiny model of other miniature studies until it can do both tasks: a few seconds."""
    torch.set_num_threads(1)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    texts = [PROMPTS[name].format(text=text) + answer for name in ANSWERS for text, answer in rows_of(name)[:160]]
    random.Random(0).shuffle(texts)
    ids = [torch.tensor(tokenizer(text)["input_ids"]) for text in texts]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for start in range(0, 6 * len(ids), 16):
        batch = [ids[index % len(ids)] for index in range(start, start + 16)]
        padded = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True, padding_value=-100)
        given = padded != -100
        loss = model(input_ids=padded * given, attention_mask=given.long(), labels=padded).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = make_model(tmp_path_factory.mktemp("able") / "model")
    teach(folder)
    return folder


@pytest.mark.parametrize(
    ("metrics", "kind", "unit"),
    [("accuracy", "right answers", "share"), ("mcc, accuracy", "MCC", "correlation")],
)
def test_a_model_ruined_by_ten_times_its_learning_rate_loses_in_any_metric(
    model, tmp_path, capsys, metrics, kind, unit
):
    suite = "families:\n"
    for name, prompt in PROMPTS.items():
        suite += f"  {name}:\n    prompts: {{1: {prompt!r}}}\n    answers: {list(ANSWERS[name])}\n"
        suite += f"    shots: [0]\n    metrics: [{metrics}]\n"
        lines = [json.dumps({"text": text, "answer": answer}) for text, answer in rows_of(name)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "made.yaml").write_text(f"{suite}tasks:{''.join(TASK.format(name=name) for name in PROMPTS)}")
    (tmp_path / "study.yaml").write_text(STUDY.replace("./model", str(model)))
    options = ("--store", tmp_path / "store", "--report", tmp_path / "report", "--no-lint", "--json")
    assert call("run", tmp_path / "study.yaml", *options) == 0
    summary = json.loads(capsys.readouterr().out)
    far = next(row for row in summary["relations"] if row["relation"] == "cross-task")
    assert (far["kind"], far["unit"], summary["cells_that_cannot_lose"]) == (kind, unit, [])
    assert far["base_mean"] > 0.8
    (verdict,) = summary["verdicts"]
    assert verdict["light"] == "loses"
    assert "loses its task, loses across tasks" in verdict["sentence"]
    assert f" {kind}" in verdict["sentence"]
    assert verdict["worst"].startswith("worst task ")
    # It says the same whatever it is asked: of each task's answers one.
    assert re.search(r"answers '\w+' to (100|9\d)% of (near|far) \(0 shots\)", verdict["sentence"])
