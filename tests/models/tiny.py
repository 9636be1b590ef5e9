"""Tiny random models of several architectures, for tests that check algebra in milliseconds."""

import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

VOCABULARY = 61
_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}


def _llama() -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**_SHAPE, tie_word_embeddings=True))


def _mistral() -> PreTrainedModel:
    return MistralForCausalLM(MistralConfig(**_SHAPE, sliding_window=5))


def _gemma3() -> PreTrainedModel:
    layers = ["sliding_attention", "full_attention"]
    return Gemma3ForCausalLM(Gemma3TextConfig(**_SHAPE, head_dim=4, sliding_window=5, layer_types=layers))


def _gpt2() -> PreTrainedModel:
    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=4, n_positions=256, bos_token_id=1, eos_token_id=2
    )
    return GPT2LMHeadModel(config)


def _qwen2() -> PreTrainedModel:
    return Qwen2ForCausalLM(Qwen2Config(**_SHAPE))


def _mamba() -> PreTrainedModel:
    config = MambaConfig(
        vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, state_size=4, bos_token_id=1, eos_token_id=2
    )
    return MambaForCausalLM(config)


SHARING = {"llama": _llama, "mistral": _mistral, "gemma3": _gemma3, "gpt2": _gpt2, "qwen2": _qwen2}
STATEFUL = {"mamba": _mamba}


def tiny_model(architecture: str = "llama", *, seed: int = 0, scale: float = 4.0) -> PreTrainedModel:
    """Return a tiny random model whose weights are scaled up so that its logits differ plainly."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = (SHARING | STATEFUL)[architecture]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(scale)
    return model
