import copy

import pytest
import torch

from spillover.errors import UserError
from spillover.models.adapter import with_adapter
from tests.models.tiny import tiny_model

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def saved_adapter(folder, *, hidden_layer="q_proj"):
    torch.manual_seed(1)
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=[hidden_layer], init_lora_weights=False)
    adapted = peft.get_peft_model(tiny_model(), config)
    adapted.save_pretrained(folder)
    return adapted


def test_a_merged_adapter_gives_the_logits_of_the_adapter_beside_the_base(tmp_path):
    adapted = saved_adapter(tmp_path)
    ids = torch.tensor([[5, 9, 30, 12]])
    base = tiny_model()
    before = copy.deepcopy(base.state_dict())
    merged = with_adapter(base, tmp_path)
    with torch.no_grad():
        assert torch.allclose(merged(ids).logits, adapted(ids).logits, atol=1e-5)
    weight = "model.layers.0.self_attn.q_proj.weight"
    layer = adapted.base_model.model.model.layers[0].self_attn.q_proj
    low, high = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert torch.allclose(merged.state_dict()[weight], before[weight] + 3.0 * high @ low, atol=1e-6)


def test_a_folder_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"no adapter_config\.json; expected a folder that peft's save_pretrained wrote"
    ):
        with_adapter(tiny_model(), tmp_path)


def test_an_adapter_of_another_model_is_refused(tmp_path):
    saved_adapter(tmp_path)
    with pytest.raises(UserError, match=r"the adapter does not fit this base .*; give the base it was trained on"):
        with_adapter(tiny_model("gpt2"), tmp_path)
