import pytest
import torch

from spillover.training.drift.function import function_drift, linear_cka, outputs
from tests.models.tiny import tiny_model

ROWS = [(5, 9, 12, 30, 7), (8, 8, 21)]


def drift(variant, base, rows=ROWS):
    return function_drift(outputs(variant, rows), outputs(base, rows))


def features(seed):
    return torch.randn(60, 6, generator=torch.Generator().manual_seed(seed)) + 2.0


def test_equal_rotated_scaled_and_shifted_features_are_fully_similar():
    one = features(0)
    rotation = torch.linalg.qr(features(1)[:6]).Q
    for other in (one, one @ rotation, -3 * one, one + torch.arange(6.0)):
        assert linear_cka(one, other) == pytest.approx(1, abs=1e-6)
    assert linear_cka(one, features(2)) < 0.4


def test_the_similarity_agrees_with_the_form_over_pairs_of_tokens():
    one, other = features(0).double(), features(0).double()[:, :3] + features(3).double()[:, :3]
    centering = torch.eye(60, dtype=torch.float64) - 1 / 60
    first, second = (centering @ x @ x.T @ centering for x in (one, other))
    expected = (first * second).sum() / (first.square().sum() * second.square().sum()).sqrt()
    assert linear_cka(one, other) == pytest.approx(float(expected))


def test_equal_models_have_no_divergence_and_full_similarity():
    found = drift(tiny_model(), tiny_model())
    assert found.kl_to_base == 0
    assert found.similarity == pytest.approx([1.0] * 3)
    assert (found.row_count, found.token_count) == (2, 8)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "mamba"])
def test_the_divergence_is_that_of_the_base_to_the_variant(architecture):
    base, variant = tiny_model(architecture), tiny_model(architecture, seed=1)
    expected = 0.0
    for row in ROWS:
        ids = torch.tensor([row])
        with torch.no_grad():
            now, before = (torch.distributions.Categorical(logits=m(ids).logits[0].double()) for m in (variant, base))
        expected += float(torch.distributions.kl_divergence(before, now).sum())
    found = drift(variant, base)
    assert found.kl_to_base == pytest.approx(expected / 8)
    assert found.kl_to_base > 0.1
    assert min(found.similarity) < 0.9


def test_the_first_token_of_a_row_does_not_enter_the_similarity():
    found = drift(tiny_model("gpt2"), tiny_model("gpt2", seed=1))
    swapped = drift(tiny_model("gpt2"), tiny_model("gpt2", seed=1), [(60, *ROWS[0][1:]), ROWS[1]])
    assert found.similarity[0] == pytest.approx(swapped.similarity[0])  # after the embedding tokens stand alone
    assert found.kl_to_base != swapped.kl_to_base


def test_a_layer_that_changed_lowers_the_similarity_from_there_on():
    base, variant = tiny_model(), tiny_model()
    with torch.no_grad():
        variant.model.layers[1].mlp.down_proj.weight.neg_()
    found = drift(variant, base)
    assert found.similarity[:2] == pytest.approx([1.0, 1.0])
    assert found.similarity[2] < 0.999
