import pytest
import torch

from spillover.training.afterwards.graft import nth_largest_move
from spillover.training.derive import change_weights
from spillover.training.settings import Recipe
from tests.models.tiny import tiny_model


def point(settings):
    (only,) = Recipe.model_validate({"afterwards": settings}).afterwards.points()
    return only


@pytest.fixture
def pair(tmp_path):
    """Return the folder of a base and a function that gives the tuned model anew, with the base's weights."""
    base = tiny_model(scale=1)
    base.save_pretrained(tmp_path)

    def tuned():
        model = tiny_model(scale=1)
        torch.manual_seed(9)
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.1 * torch.randn(weight.shape)
        return model

    return tmp_path, dict(base.named_parameters()), tuned


def changed(pair, settings):
    folder, base, tuned = pair
    model = tuned()
    change_weights(model, folder, point(settings))
    return base, dict(tuned().named_parameters()), dict(model.named_parameters())


def test_interpolation_at_one_is_the_tuned_model_and_near_zero_the_base(pair):
    base, tuned, result = changed(pair, {"kind": "interpolate", "alpha": 1})
    assert all(torch.equal(result[name], tuned[name]) for name in base)
    base, tuned, result = changed(pair, {"kind": "interpolate", "alpha": 1e-30})
    assert all(torch.allclose(result[name], base[name], rtol=0, atol=1e-25) for name in base)  # zeros move by 1e-31


def test_interpolation_changes_a_tied_embedding_once(pair):
    base, tuned, result = changed(pair, {"kind": "interpolate", "alpha": 0.25})
    for name in base:
        assert torch.allclose(result[name], 0.75 * base[name] + 0.25 * tuned[name], atol=1e-6), name


def test_dare_drops_its_share_rescales_the_rest_and_keeps_the_update_in_expectation():
    torch.manual_seed(0)
    base, delta = torch.randn(40, 50), torch.randn(40, 50)
    draws = [
        point({"kind": "dare", "drop": 0.75, "seed": seed}).rule(lambda: iter(()))("w", base, base + delta) - base
        for seed in range(200)
    ]
    kept = draws[0] != 0
    assert float(kept.float().mean()) == pytest.approx(0.25, abs=0.03)
    assert torch.allclose(draws[0][kept], 4 * delta[kept], atol=1e-5)
    # An entry's mean over n draws has the deviation |delta| sqrt(drop / (1 - drop) / n).
    errors = (torch.stack(draws).mean(0) - delta) / delta
    assert float(errors.square().mean()) == pytest.approx(3 / 200, rel=0.1)


def test_dare_is_drawn_by_its_seed(pair):
    first, again, other = (changed(pair, {"kind": "dare", "drop": 0.5, "seed": seed})[2] for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("top", [0.1, 0.5, 1.0])
def test_grafting_keeps_the_largest_moves_of_the_whole_model(pair, top):
    base, tuned, result = changed(pair, {"kind": "graft", "top": top})
    moves = torch.cat([(tuned[name] - base[name]).detach().abs().flatten() for name in base])
    threshold = moves.sort(descending=True).values[int(top * len(moves)) - 1]
    for name in base:
        large = (tuned[name] - base[name]).detach().abs() >= threshold
        assert torch.equal(result[name], torch.where(large, tuned[name], base[name]))


def test_the_threshold_of_a_graft_is_exact_over_magnitudes():
    values = torch.tensor([0.0, 1e-30, -1e-8, 3e-4, -3e-4, 0.5, -7.0, 1e20])
    for count in range(1, 9):
        expected = float(values.abs().sort(descending=True).values[count - 1])
        assert nth_largest_move(lambda: iter([values[:3], values[3:]]), count / 8) == expected
