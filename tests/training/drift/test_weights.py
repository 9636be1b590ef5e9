import pytest
import torch
from safetensors.torch import save_file

from spillover.errors import SpilloverError
from spillover.training.drift.tensors import Tensors
from spillover.training.drift.weights import ROW_COUNT, MovedRow, moved_rows, weight_drift
from tests.models.tiny import tiny_model


def folders(tmp_path, base, variant):
    for name, tensors in (("base", base), ("variant", variant)):
        (tmp_path / name).mkdir()
        save_file(tensors, tmp_path / name / "model.safetensors")
    return Tensors.of_folder(tmp_path / "variant"), Tensors.of_folder(tmp_path / "base")


def changed(model, change):
    """Return the drift of a copy of a tiny model after ``change`` of its state."""
    variant = tiny_model(model)
    with torch.no_grad():
        change(dict(variant.named_parameters()))
    return weight_drift(Tensors.of_model(variant), Tensors.of_model(tiny_model(model)))


def test_drift_by_hand(tmp_path):
    base = {"model.layers.0.a.weight": torch.tensor([[3.0, 4.0]]), "model.embed_tokens.weight": torch.zeros(2, 1)}
    moved = {"model.layers.0.a.weight": torch.tensor([[3.0, 6.0]]), "model.embed_tokens.weight": torch.ones(2, 1)}
    result = weight_drift(*folders(tmp_path, base, moved))
    assert result["mean_absolute_difference"] == pytest.approx((2 + 1 + 1) / 4)
    assert result["relative_norm"] == pytest.approx((4 + 2) ** 0.5 / 5)
    assert result["moved_share"] == 3 / 4
    assert result["cosine"] == pytest.approx((9 + 24) / (5 * (9 + 36 + 2) ** 0.5))
    assert result["layers"] == {"0": pytest.approx(2 / 5), "embed_tokens": 0.0}
    assert result["module_types"]["embedding"]["cosine"] == 0.0
    assert result["module_types"]["other"]["cosine"] == pytest.approx((9 + 24) / (5 * 45**0.5))


def test_a_model_that_did_not_move_has_no_drift():
    result = changed("llama", lambda weights: None)
    assert (result["relative_norm"], result["moved_share"], result["mean_absolute_difference"]) == (0, 0, 0)
    assert result["cosine"] == pytest.approx(1, abs=1e-15)
    assert result["effective_rank"] is None


def test_a_scaled_copy_has_cosine_one_and_moves_by_the_scale():
    def scale(weights):
        for weight in weights.values():
            weight.mul_(1.5)  # exact in binary

    result = changed("llama", scale)
    assert result["cosine"] == pytest.approx(1, abs=1e-12)
    assert result["relative_norm"] == pytest.approx(0.5)
    assert all(row["relative_norm"] == pytest.approx(0.5) for row in result["modules"])


def test_the_moved_share_of_a_masked_update_is_exact():
    mask = torch.rand(16, 16, generator=torch.Generator().manual_seed(3)) < 0.3
    result = changed("llama", lambda weights: weights["model.layers.1.self_attn.q_proj.weight"].add_(mask.float()))
    (row,) = (row for row in result["modules"] if row["moved_share"])
    assert (row["layer"], row["module"]) == ("1", "attention q")
    assert row["moved_share"] == int(mask.sum()) / 256
    assert result["moved_share"] * result["element_count"] == pytest.approx(int(mask.sum()))


def test_layers_and_module_types_add_up_to_the_model():
    def noise(weights):
        for weight in weights.values():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(weight))))

    for architecture in ("llama", "gpt2"):
        result = changed(architecture, noise)
        for rows in (result["modules"], result["module_types"].values()):
            total = sum(row["element_count"] * row["mean_absolute_difference"] for row in rows)
            assert total / result["element_count"] == pytest.approx(result["mean_absolute_difference"])
            assert sum(row["element_count"] for row in rows) == result["element_count"]


def test_a_low_rank_update_has_at_most_its_rank_and_only_where_it_is():
    def update(weights):
        for name, weight in weights.items():
            if "mlp.down_proj" in name:
                torch.manual_seed(0)
                weight.add_(torch.randn(len(weight), 2) @ torch.randn(2, weight.shape[1]))

    result = changed("llama", update)
    ranks = {row["module"]: row["effective_rank"] for row in result["modules"] if row["layer"] == "0"}
    assert 1 < ranks.pop("mlp down") <= 2.001
    assert set(ranks.values()) == {None}
    assert result["effective_rank"] == result["module_types"]["mlp down"]["effective_rank"]
    assert result["spectrum"]["layers"] == ["0", "1"]


def test_the_rows_of_the_embedding_that_moved_most_come_first():
    base, variant = torch.ones(50, 4), torch.ones(50, 4)
    variant[7] = 3.0
    variant[40, 0] = 2.0
    base[3] = 0.0  # a row that was zero has no relative norm
    rows = moved_rows(*(Tensors("made", {"model.embed_tokens.weight": lambda e=e: e}) for e in (variant, base)))
    assert rows == [MovedRow(7, pytest.approx(2.0)), MovedRow(40, pytest.approx(0.5))]
    many = Tensors("made", {"transformer.wte.weight": lambda: base + torch.arange(50)[:, None]})
    assert [row.token_id for row in moved_rows(many, Tensors("made", {"transformer.wte.weight": lambda: base}))] == (
        list(range(49, 49 - ROW_COUNT, -1))
    )


def test_without_a_token_embedding_no_row_is_named():
    one = Tensors("made", {"w": lambda: torch.ones(2, 2)})
    assert moved_rows(one, one) == []


def test_layers_are_in_order_of_depth(tmp_path):
    tensors = {f"model.layers.{i}.w": torch.ones(1, 1) for i in (10, 2, 1)} | {"model.norm.weight": torch.ones(1)}
    assert list(weight_drift(*folders(tmp_path, tensors, tensors))["layers"]) == ["1", "2", "10", "norm"]


def test_a_resized_embedding_is_compared_on_the_rows_both_have(tmp_path):
    result = weight_drift(*folders(tmp_path, {"e": torch.ones(2, 2)}, {"e": torch.ones(3, 2)}))
    assert result["mean_absolute_difference"] == 0.0


def test_bfloat16_weights_are_read(tmp_path):
    base, moved = torch.ones(2, 2, dtype=torch.bfloat16), torch.full((2, 2), 1.5, dtype=torch.bfloat16)
    assert weight_drift(*folders(tmp_path, {"w": base}, {"w": moved}))["mean_absolute_difference"] == 0.5


def test_different_tensors_are_refused(tmp_path):
    with pytest.raises(SpilloverError, match="hold different tensors"):
        weight_drift(*folders(tmp_path, {"a": torch.ones(1, 1)}, {"b": torch.ones(1, 1)}))
