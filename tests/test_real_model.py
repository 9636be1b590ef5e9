"""The real small model on real rows: what the tiny models cannot show."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spillover.artifacts.cache import default_cache
from spillover.config import load_study
from spillover.evaluation.predict import predict
from spillover.models.load import load_model
from spillover.models.tokenizer import load_tokenizer
from spillover.prompts.encoding import Encoder
from spillover.steps.predict import Predict
from spillover.steps.workshop import Workshop
from spillover.store.store import Store

pytestmark = pytest.mark.real

STUDY = """
variants: [{name: sft, train_on: amazon, sizes: [8]}]
test_on: [amazon, news-consistency, siqa]
shots: [0, 2]
test_limit: 6
precision: float32
"""


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    path = folder / "study.yaml"
    path.write_text(STUDY)
    study = load_study(path, cache=default_cache(), notice=print)
    torch.set_num_threads(1)
    workshop = Workshop(Store(folder / "store"))
    steps = [score.predictions for score in study.scores if score.predictions.variant is None]
    model = load_model(study.base.path, dtype="float32", device="cpu")
    return model, Encoder(load_tokenizer(study.base.path)), workshop, steps


def of(asked, task: str) -> list[Predict]:
    return [step for step in asked[3] if step.cell.tested_on == task]


@pytest.mark.parametrize("task", ["amazon", "news-consistency"])
def test_label_log_likelihoods_equal_those_of_a_plain_forward_pass(asked, task):
    model, encoder, workshop, _ = asked
    for step in of(asked, task):
        cell, _ = step.encoded(workshop)
        predictions = predict(model, cell, encoder)
        plain = np.zeros((len(cell.prompts), len(cell.answers)))
        for row, prompt in enumerate(cell.prompts):
            for column, answer in enumerate(cell.answers):
                with torch.inference_mode():
                    logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0]
                # The sum over 49,152 words loses up to 1e-4 nats in float32, so only it is taken in float64.
                log_likelihoods = logits.double().log_softmax(-1)
                plain[row, column] = sum(float(log_likelihoods[len(prompt) - 1 + i, t]) for i, t in enumerate(answer))
        ours = np.array([prediction.log_likelihoods for prediction in predictions])
        assert np.abs(ours - plain).max() <= 1e-4
        assert (ours.argmax(1) == plain.argmax(1)).all()


def test_generation_equals_that_of_transformers(asked):
    model, encoder, workshop, _ = asked
    cell, _ = of(asked, "siqa")[1].encoded(workshop)
    ours = predict(model, cell, encoder)
    for prompt, prediction in list(zip(cell.prompts, ours, strict=True))[:3]:
        ids = torch.tensor([prompt])
        theirs = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=len(prediction.token_ids),
            do_sample=False,
            pad_token_id=encoder.end_token_id,
        )[0, len(prompt) :]
        assert tuple(theirs.tolist()) == prediction.token_ids


def test_the_default_model_adds_no_special_token_to_a_prompt(asked):
    _, encoder, workshop, _ = asked
    cell, _ = of(asked, "amazon")[0].encoded(workshop)
    assert all(encoder.decode(ids) == text for ids, text in zip(cell.prompts, cell.asked.prompts, strict=True))


def test_the_papers_data_reads_where_it_lies():
    release = Path(__file__).parents[2] / "shared" / "data" / "genpower"
    if not release.is_dir():
        pytest.skip(f"{release} is not there")
    example = Path(__file__).parents[1] / "examples" / "genpower-small.yaml"
    study = load_study(example, cache=default_cache(), folder=release, notice=print)
    assert len(study.test_on) == 18
    assert len({step.variant for step in study.finetunes}) == 4
