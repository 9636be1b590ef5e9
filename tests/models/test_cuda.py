"""The same numbers on a CUDA device as plain passes give on the processor, in float32."""

import copy

import numpy as np
import pytest
import torch

from spillover.models.generation import generate
from spillover.models.scoring import PrefixCache, answer_log_likelihoods
from spillover.steps.predict import Predict
from spillover.steps.workshop import Workshop
from spillover.store.files import PREDICTIONS, read_predictions
from spillover.store.store import Store
from spillover.study.runner import run_study
from spillover.training.fit import SharedPrefixLogits, fit
from spillover.training.loss import summed_loss
from spillover.training.optimization import TrainingSettings
from tests.models.test_scoring import ANSWERS, ARCHITECTURES, plain_log_likelihood, prompts_of
from tests.models.tiny import SHARING, tiny_model
from tests.study.test_runner import Quiet, load
from tests.training.made_rows import made_rows
from tests.training.test_fit import plain_loss

pytestmark = pytest.mark.gpu


def on_device(model):
    return torch.nn.Module.to(copy.deepcopy(model), "cuda")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("shared", [0, 9, 150])
def test_log_likelihoods_equal_plain_passes_on_the_processor(architecture, shared):
    model = tiny_model(architecture)
    prompts = prompts_of(shared, [3, 1, 12, 7, 7, 2])
    expected = np.array([[plain_log_likelihood(model, prompt, answer) for answer in ANSWERS] for prompt in prompts])
    served = on_device(model)
    prefixes = PrefixCache(served)
    for pack_tokens in (30, 10_000):
        scores = np.array(
            answer_log_likelihoods(served, prompts, [ANSWERS] * 6, pack_tokens=pack_tokens, prefixes=prefixes)
        )
        assert np.abs(scores - expected).max() <= 1e-4
        assert (scores.argmax(1) == expected.argmax(1)).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("shared", [0, 12])
def test_generation_equals_that_of_the_processor(architecture, shared):
    model = tiny_model(architecture)
    prompts = prompts_of(shared, [3, 1, 12, 7], seed=3)
    settings = {"max_new_tokens": 9, "end_token_id": 2, "is_finished": lambda ids: False}
    expected = generate(model, prompts, **settings)
    assert generate(on_device(model), prompts, **settings) == expected
    assert len(set(expected)) > 1


@pytest.mark.parametrize("architecture", SHARING)
@pytest.mark.parametrize("shared", [0, 14])
def test_packed_gradients_equal_those_of_plain_passes_on_the_processor(architecture, shared):
    data = made_rows(shared)
    plain = tiny_model(architecture, scale=2)
    packed = on_device(plain)
    loss = summed_loss(SharedPrefixLogits(packed)(data.rows, data.shared_prefix_length), data.rows)
    loss.backward()
    expected = plain_loss(plain, data.rows)
    expected.backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    for (name, ours), theirs in zip(packed.named_parameters(), plain.parameters(), strict=True):
        gap = (ours.grad.cpu() - theirs.grad).norm() / theirs.grad.norm().clamp_min(1e-6)
        assert gap <= 1e-5, name


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_training_run_loses_what_it_loses_on_the_processor(checkpointing):
    data, model = made_rows(4, count=8), tiny_model(scale=1)
    settings = TrainingSettings(
        learning_rate=1e-3, epochs=2, batch_size=4, gradient_checkpointing=checkpointing, weight_decay=0.01
    )
    served = on_device(model)
    there = fit(served, data, settings, seed=0).losses
    assert there == pytest.approx(fit(model, data, settings, seed=0).losses, rel=1e-4)
    autocast = fit(on_device(tiny_model(scale=1)), data, settings, seed=0, precision="bfloat16").losses
    assert autocast == pytest.approx(there, rel=0.05)


def test_a_whole_study_answers_for_the_base_as_on_the_processor(made_study_file, tmp_path):
    study, answers = load(made_study_file), {}
    for device in ("cpu", "cuda"):
        store = Store(tmp_path / device)
        assert not run_study(study, store, Workshop(store, device=device), Quiet()).failed
        answers[device] = [
            read_predictions(store.file(step, PREDICTIONS))
            for step in study.steps
            if isinstance(step, Predict) and step.variant is None
        ]
    for cells in zip(answers["cpu"], answers["cuda"], strict=True):
        for expected, found in zip(*cells, strict=True):
            assert (found.example_id, found.token_ids) == (expected.example_id, expected.token_ids)
            assert found.log_likelihoods == pytest.approx(expected.log_likelihoods, abs=1e-4)
