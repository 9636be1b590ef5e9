"""Vectors of texts: against transformers, one text at a time and without padding."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from spillover.models.embedding import Embedder
from tests.models.made_encoder import make_encoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp("made") / "encoder")


def test_a_vector_is_the_mean_of_the_last_hidden_states_of_length_one(folder):
    texts = ["short", "a text that is longer", "x", "y" * 200]
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    expected = []
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
        with torch.no_grad():
            mean = model(**ids).last_hidden_state[0].mean(dim=0)
        expected.append((mean / mean.norm()).numpy())
    found = Embedder(folder, device="cpu").vectors(texts)
    assert np.allclose(found, expected, atol=1e-5)
    assert np.allclose(np.linalg.norm(found, axis=1), 1)


def test_a_vector_is_the_same_whatever_is_asked_with_it(folder):
    embedder = Embedder(folder, device="cpu")
    texts = [f"text {'z' * (index % 7)} {index}" for index in range(70)]
    together = embedder.vectors(texts)
    assert np.allclose(embedder.vectors(texts[::-1])[::-1], together, atol=1e-6)
