import pytest
import torch
from safetensors.torch import save_file

from spillover.errors import SpilloverError
from spillover.training.drift import Tensors, drift


def folders(tmp_path, base, variant):
    for name, tensors in (("base", base), ("variant", variant)):
        (tmp_path / name).mkdir()
        save_file(tensors, tmp_path / name / "model.safetensors")
    return Tensors.of_folder(tmp_path / "variant"), Tensors.of_folder(tmp_path / "base")


def test_drift_by_hand(tmp_path):
    base = {"model.layers.0.a.weight": torch.tensor([[3.0, 4.0]]), "model.embed_tokens.weight": torch.zeros(2, 1)}
    moved = {"model.layers.0.a.weight": torch.tensor([[3.0, 6.0]]), "model.embed_tokens.weight": torch.ones(2, 1)}
    result = drift(*folders(tmp_path, base, moved))
    assert result["mean_absolute_difference"] == pytest.approx((2 + 1 + 1) / 4)
    assert result["relative_norm"] == pytest.approx((4 + 2) ** 0.5 / 5)
    assert result["layers"] == {"0": pytest.approx(2 / 5), "embed_tokens": 0.0}


def test_layers_are_in_order_of_depth(tmp_path):
    tensors = {f"model.layers.{i}.w": torch.ones(1, 1) for i in (10, 2, 1)} | {"model.norm.weight": torch.ones(1)}
    assert list(drift(*folders(tmp_path, tensors, tensors))["layers"]) == ["1", "2", "10", "norm"]


def test_a_resized_embedding_is_compared_on_the_rows_both_have(tmp_path):
    result = drift(*folders(tmp_path, {"e": torch.ones(2, 2)}, {"e": torch.ones(3, 2)}))
    assert result["mean_absolute_difference"] == 0.0


def test_bfloat16_weights_are_read(tmp_path):
    base, moved = torch.ones(2, 2, dtype=torch.bfloat16), torch.full((2, 2), 1.5, dtype=torch.bfloat16)
    assert drift(*folders(tmp_path, {"w": base}, {"w": moved}))["mean_absolute_difference"] == 0.5


def test_different_tensors_are_refused(tmp_path):
    with pytest.raises(SpilloverError, match="hold different tensors"):
        drift(*folders(tmp_path, {"a": torch.ones(1, 1)}, {"b": torch.ones(1, 1)}))
