"""Made tasks of which one is built to help a target and one to hurt it, trained, scored and analysed as one study."""

import json
import random

import pytest
import torch
from transformers import LlamaForCausalLM

from spillover.questions import MIXING, answered
from spillover.study.results import collect
from tests.study.made_study import make_model
from tests.study.test_runner import run

pytestmark = pytest.mark.long

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SUITE = """
families:
  letters:
    prompts: {1: "{text}"}
    answers: [up, down]
    shots: [0]
tasks:
"""
TASK = """
  {name}:
    family: letters
    sources: {{pool: {name}.jsonl}}
    columns: {{text: text}}
    target: answer
    split: {{demonstrations: 0, test: {tested}}}
"""
STUDY = """
base: ./model
suite: ./made.yaml
mix:
  targets: [target]
  others: [helper, harmer]
  sizes: 36
  cap: 72
  budgets: additive
  arms: [alone, pair]
test_on: [target]
shots: [0]
training: {epochs: 12, batch_size: 8, learning_rate: 0.01}
precision: float32
"""


def wide_start(folder):
    """Widen the random weights: from a start near zero so few steps would learn nothing but the commoner answer."""
    model = LlamaForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                weight *= 12
    model.save_pretrained(folder)


def write_family(folder):
    """The helper follows the target's rule with many more rows, the harmer its opposite; no text occurs twice."""
    folder.mkdir(parents=True, exist_ok=True)
    wide_start(make_model(folder / "model"))
    draw = random.Random(3)
    tasks = ""
    for offset, (name, count, tested) in enumerate((("target", 140, 104), ("helper", 90, 4), ("harmer", 90, 4))):
        letters = [LETTERS[index % 26] for index in range(count)]
        draw.shuffle(letters)
        lines = []
        for index, letter in enumerate(letters):
            is_up = (letter < "n") != (name == "harmer")
            text = f"{1000 * (offset + 1) + index}{letter}"
            lines.append(json.dumps({"text": text, "answer": "up" if is_up else "down"}))
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        tasks += TASK.format(name=name, tested=tested)
    (folder / "made.yaml").write_text(SUITE + tasks, encoding="utf-8")
    path = folder / "study.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def mixing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    study, store, outcome = run(write_family(folder), folder / "store")
    assert not [(step.label, reason) for step, reason in outcome.failed]
    return answered(collect(study, store, command="spillover run"), resample_count=500).of(MIXING)


def test_synergy_has_the_planted_signs(mixing):
    (matrix,) = mixing.matrices
    assert matrix.others == ("helper", "harmer")
    helper, harmer = matrix.entries[0]
    assert helper.low > 0
    assert harmer.high < 0


def test_the_helper_is_recommended_and_the_harmer_named(mixing):
    (item,) = mixing.recommendations
    assert item.added == "helper"
    assert item.clearly_worse[0].startswith("harmer (")
