import pytest
import torch

from spillover.errors import UserError
from spillover.training.settings import Recipe
from tests.models.tiny import SHARING, tiny_model
from tests.training.made_rows import moved, trained


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen2"])
@pytest.mark.parametrize("embeddings", [True, False])
def test_only_the_last_layers_move(architecture, embeddings):
    settings = {"kind": "last-layers", "count": 1, "embeddings": embeddings}
    model, before, _, log = trained({"parameters": settings}, architecture=architecture)
    for name, changed in moved(model, before).items():
        is_embedding = any(part in name for part in ("embed_tokens", "wte", "lm_head"))
        expected = ".1." in name or (embeddings and is_embedding)
        if not name.endswith("bias"):  # some biases of attention have no gradient
            assert bool(changed.any()) == expected, name
    assert 0 < log.recipe_report["trained_share"] < 1


def test_embeddings_can_be_left_out_of_full_fine_tuning():
    model, before, _, _ = trained({"parameters": {"kind": "full", "embeddings": False}})
    for name, changed in moved(model, before).items():
        assert bool(changed.any()) == ("embed" not in name), name


def test_more_layers_than_there_are_are_refused():
    with pytest.raises(UserError, match=r"parameters.count is 3; the model has 2 decoder layers"):
        trained({"parameters": {"kind": "last-layers", "count": 3}})


@pytest.mark.parametrize("architecture", SHARING)
def test_an_adapter_trains_and_leaves_the_base_as_it_is(architecture):
    model, before, _, log = trained({"parameters": {"kind": "lora", "rank": 2}}, architecture=architecture)
    for name, changed in moved(model, before).items():
        assert bool(changed.any()) == ("lora_" in name), name
    assert log.losses[-1] < log.losses[0]


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}, {"init_lora_weights": "pissa"}])
def test_relatives_of_lora_start_at_the_base(options):
    model = tiny_model()
    ids = torch.arange(3, 20)[None]
    before = model(ids).logits.detach().clone()
    Recipe.model_validate({"parameters": {"kind": "lora", "rank": 2, **options}}).parameters.select(model, seed=0)
    assert torch.allclose(model(ids).logits, before, atol=1e-4)


def test_layers_that_are_not_there_are_refused():
    with pytest.raises(UserError, match="peft refuses these settings: Target modules"):
        trained({"parameters": {"kind": "lora", "target_modules": ["nowhere"]}})
