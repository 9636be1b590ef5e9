import math

import pytest
import torch

from spillover.training.drift.cost import measured_layers
from spillover.training.drift.spectrum import dominant_count, effective_rank, spectrum


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_svd(change, base, count):
    """The same share from two full singular value decompositions."""
    left, values, right = torch.linalg.svd(change.double(), full_matrices=False)
    strongest = left[:, :count] * values[:count] @ right[:count]
    base_left, _, base_right = torch.linalg.svd(base.double(), full_matrices=False)
    inside = base_left[:, :count].T @ strongest @ base_right[:count].T
    return float(1 - inside.square().sum() / strongest.square().sum())


def decaying(rows, columns, seed):
    left, _, right = torch.linalg.svd(random(rows, columns, seed=seed), full_matrices=False)
    return left * 0.8 ** torch.arange(min(rows, columns)) @ right


def test_the_effective_rank_of_equal_singular_values_is_their_number():
    assert effective_rank(torch.full((5,), 0.3, dtype=torch.float64)) == pytest.approx(5)


def test_the_effective_rank_by_hand():
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(torch.tensor([3.0, 1.0, 0.0], dtype=torch.float64)) == pytest.approx(math.exp(entropy))


@pytest.mark.parametrize("shape", [(40, 24), (24, 40)])
def test_a_rank_one_change_has_effective_rank_one(shape):
    change = random(shape[0], 1).double() @ random(1, shape[1], seed=1).double()
    found = spectrum(change, random(*shape, seed=2))
    assert found is not None
    assert found.effective_rank == pytest.approx(1, abs=1e-5)


def test_the_effective_rank_is_that_of_the_singular_values():
    change = random(30, 20)
    found = spectrum(change, random(30, 20, seed=1))
    assert found is not None
    assert found.effective_rank == pytest.approx(effective_rank(torch.linalg.svdvals(change.double())))


@pytest.mark.parametrize("shape", [(96, 64), (64, 96)])
def test_new_directions_agree_with_full_decompositions(shape):
    base, change = decaying(*shape, seed=1), decaying(*shape, seed=2) + 0.3 * decaying(*shape, seed=1)
    found = spectrum(change, base)
    assert found is not None
    assert found.new_direction_share == pytest.approx(by_svd(change, base, 16), abs=1e-5)
    assert 0.1 < found.new_direction_share < 0.99


def test_rescaling_the_base_brings_no_new_direction_and_an_unrelated_change_brings_little_else():
    base = decaying(96, 64, seed=1)
    for change, expected, tolerance in ((0.1 * base, 0, 1e-4), (random(96, 64, seed=5), 1 - 16**2 / (96 * 64), 0.02)):
        found = spectrum(change, base)
        assert found is not None
        assert found.new_direction_share == pytest.approx(expected, abs=tolerance)


def test_a_matrix_that_did_not_move_has_no_spectrum():
    assert spectrum(torch.zeros(8, 4), torch.ones(8, 4)) is None


def test_fewer_directions_dominate_a_small_matrix():
    assert [dominant_count(shape) for shape in ((576, 1536), (16, 32), (3, 2))] == [16, 4, 1]


def test_all_layers_of_a_small_model_are_decomposed_and_every_kth_of_a_large_one():
    shapes = {f"model.layers.{layer}.mlp.up_proj.weight": (576, 1536) for layer in range(30)}
    assert len(measured_layers(shapes | {"model.embed_tokens.weight": (49152, 576)})) == 30
    large = {f"model.layers.{layer}.mlp.up_proj.weight": (1536, 4096) for layer in range(32)}
    assert measured_layers(large) == {str(layer) for layer in (31, 22, 13, 4)}
    huge = {f"model.layers.{layer}.mlp.up_proj.weight": (20000, 20000) for layer in range(4)}
    assert measured_layers(huge) == {"3"}
    assert measured_layers({"model.norm.weight": (8,)}) == set()
