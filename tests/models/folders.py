"""Tiny model folders and GGUF files on disk, with a byte-level tokenizer, for the tests of the models room."""

from pathlib import Path

import numpy as np
import torch
from gguf import GGUFWriter, TokenType
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.models.llama import LlamaConfig

END = "<|end|>"
HEAD_COUNT, KEY_HEAD_COUNT = 4, 2
ROPE_BASE = 5_000.0
TOKENS = [END, *sorted(pre_tokenizers.ByteLevel.alphabet()), "ĠĠ", "ĊĊ", "th", "the"]
MERGES = [("Ġ", "Ġ"), ("Ċ", "Ċ"), ("t", "h"), ("th", "e")]


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that cuts out single digits first, as SmolLM2's does."""
    tokenizer = Tokenizer(BPE(vocab={token: index for index, token in enumerate(TOKENS)}, merges=MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END)  # type: ignore[no-untyped-call]


def tiny_llama(*, seed: int = 0, tied: bool = True) -> LlamaForCausalLM:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=HEAD_COUNT,
        num_key_value_heads=KEY_HEAD_COUNT,
        max_position_embeddings=256,
        tie_word_embeddings=tied,
        bos_token_id=0,
        eos_token_id=0,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
    )
    model = LlamaForCausalLM(config)
    model.train(False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def model_folder(folder: Path, *, seed: int = 0, tied: bool = True, max_shard_size: str = "1GB") -> Path:
    tiny_llama(seed=seed, tied=tied).save_pretrained(folder, max_shard_size=max_shard_size)
    byte_tokenizer().save_pretrained(folder)
    return folder


def _interleaved(weight: torch.Tensor, head_count: int) -> torch.Tensor:
    """The row order in which GGUF keeps a Llama's query and key projections: the two halves of a head alternate."""
    return weight.reshape(head_count, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def gguf_file(path: Path, model: LlamaForCausalLM) -> Path:
    """Write the model as an unquantised GGUF file, names and layout as llama.cpp's own converter gives them."""
    config = model.config
    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEAD_COUNT)
    writer.add_head_count_kv(KEY_HEAD_COUNT)
    writer.add_rope_dimension_count(config.hidden_size // HEAD_COUNT)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([TokenType.CONTROL] + [TokenType.NORMAL] * (len(TOKENS) - 1))
    writer.add_token_merges([" ".join(pair) for pair in MERGES])
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(0)
    writer.add_add_bos_token(False)
    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    state = model.state_dict()
    tensors = {
        "token_embd.weight": state["model.embed_tokens.weight"],
        "output_norm.weight": state["model.norm.weight"],
    }
    for layer in range(config.num_hidden_layers):
        for ours, theirs in names.items():
            weight = state[f"model.layers.{layer}.{ours}.weight"]
            if theirs in ("attn_q", "attn_k"):
                heads = HEAD_COUNT if theirs == "attn_q" else KEY_HEAD_COUNT
                weight = _interleaved(weight, heads)
            tensors[f"blk.{layer}.{theirs}.weight"] = weight
    for name, tensor in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(tensor.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
