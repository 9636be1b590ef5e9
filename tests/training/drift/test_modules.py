import pytest

from spillover.training.drift.modules import MODULE_TYPES, OTHER, layer_of, module_type_of
from tests.models.tiny import tiny_model


@pytest.mark.parametrize(
    ("name", "layer", "module"),
    [
        ("model.embed_tokens.weight", "embed_tokens", "embedding"),
        ("model.layers.12.self_attn.k_proj.weight", "12", "attention k"),
        ("model.layers.0.self_attn.q_norm.weight", "0", "norm"),
        ("model.layers.3.post_attention_layernorm.weight", "3", "norm"),
        ("model.layers.3.mlp.gate_proj.weight", "3", "mlp gate"),
        ("lm_head.weight", "lm_head", "head"),
        ("transformer.wpe.weight", "wpe", "positions"),
        ("transformer.h.1.attn.c_attn.bias", "1", "attention qkv"),
        ("transformer.h.1.attn.c_proj.weight", "1", "attention o"),
        ("transformer.h.1.mlp.c_proj.weight", "1", "mlp down"),
        ("transformer.ln_f.weight", "ln_f", "norm"),
        ("gpt_neox.layers.2.attention.query_key_value.weight", "2", "attention qkv"),
        ("backbone.layers.0.mixer.A_log", "0", "other"),
    ],
)
def test_names_tell_layer_and_module_type(name, layer, module):
    assert (layer_of(name), module_type_of(name)) == (layer, module)
    assert module in MODULE_TYPES


@pytest.mark.parametrize("architecture", ["llama", "mistral", "gemma3", "gpt2", "qwen2"])
def test_every_tensor_of_a_decoder_has_a_type(architecture):
    assert OTHER not in {module_type_of(name) for name, _ in tiny_model(architecture).named_parameters()}
