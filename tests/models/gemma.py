"""A small random Gemma 3 and its tokenizer, and the GGUF file that llama.cpp's converter would make of them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from gguf import GGMLQuantizationType, GGUFWriter, TokenType
from tokenizers import AddedToken
from transformers import Gemma3ForCausalLM, Gemma3TextConfig
from transformers.models.gemma.tokenization_gemma import GemmaTokenizer

Numbers = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
WHOLE = ["\n\n", "\n\n\n", "<table>", "  ", "   "]
"""Never cut into pieces; a GGUF file spells runs of spaces as spaces, all other tokens' spaces as ▁."""
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
MERGED = ["th", "in", "the", "▁the", "▁in", "ing", "▁a", "he", "an", "er"]
"""In the order of Gemma's merges, which their scores need not follow."""
CHARACTERS = ["▁", "\n", *sorted({chr(code) for code in range(33, 127)}), "é"]
TOKENS = [*SPECIAL, *WHOLE, *BYTES, *MERGED, *CHARACTERS]
LAYER_COUNT, WINDOW = 7, 8


def gemma_tokenizer() -> GemmaTokenizer:
    vocabulary = {token.replace(" ", "▁"): index for index, token in enumerate(TOKENS)}
    merged = [token.replace(" ", "▁") for token in (*WHOLE, *MERGED)]
    pairs = [(token[:cut], token[cut:]) for token in merged for cut in range(1, len(token))]
    merges = [pair for pair in pairs if set(pair) <= vocabulary.keys()]
    tokenizer = GemmaTokenizer(vocab=vocabulary, merges=merges, add_bos_token=True)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in WHOLE if token.strip(" ")])
    return tokenizer


def small_gemma(head_size: int) -> Gemma3ForCausalLM:
    """Five layers with a window, a whole one, and one more."""
    torch.set_num_threads(1)
    config = Gemma3TextConfig(
        vocab_size=len(TOKENS),
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=LAYER_COUNT,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=head_size,
        query_pre_attn_scalar=head_size,
        max_position_embeddings=512,
        sliding_window=WINDOW,
        layer_types=[*["sliding_attention"] * 5, "full_attention", "sliding_attention"],
        rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
            "full_attention": {"rope_type": "default", "rope_theta": 1_000_000.0},
        },
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )
    model = Gemma3ForCausalLM(config)
    model.train(False)
    return model


def _halves(numbers: Numbers) -> tuple[Numbers, Bytes]:
    rounded = numbers.astype(np.float16)
    return rounded.astype(np.float32), rounded.reshape(-1, 1).view(np.uint8)


def q8_0(draw: np.random.Generator, shape: tuple[int, int]) -> tuple[Numbers, Bytes]:
    """Blocks of 32: a scale and bytes."""
    count = shape[0] * shape[1] // 32
    scale, stored = _halves(draw.uniform(0.5, 1.5, count) / 2000)
    whole = draw.integers(-127, 128, (count, 32)).astype(np.int8)
    return (scale[:, None] * whole).reshape(shape), np.hstack([stored, whole.view(np.uint8)])


def q5_0(draw: np.random.Generator, shape: tuple[int, int]) -> tuple[Numbers, Bytes]:
    """Blocks of 32: a scale, the fifth bits as one word, low nibbles of both halves."""
    count = shape[0] * shape[1] // 32
    scale, stored = _halves(draw.uniform(0.5, 1.5, count) / 250)
    whole = draw.integers(0, 32, (count, 32))
    fifth = (whole >> 4 << np.arange(32)).sum(1).astype("<u4").reshape(-1, 1).view(np.uint8)
    low = ((whole[:, :16] & 15) | (whole[:, 16:] & 15) << 4).astype(np.uint8)
    return (scale[:, None] * (whole - 16)).astype(np.float32).reshape(shape), np.hstack([stored, fifth, low])


def q4_k(draw: np.random.Generator, shape: tuple[int, int]) -> tuple[Numbers, Bytes]:
    """Blocks of 256 in 8 groups: value = d·scale·q - m·least, with 6-bit scales and leasts packed into 12 bytes."""
    count = shape[0] * shape[1] // 256
    scale, stored_scale = _halves(draw.uniform(0.5, 1.5, count) / 6000)
    least, stored_least = _halves(draw.uniform(0.5, 1.5, count) / 800)
    scales, leasts = draw.integers(0, 64, (2, count, 8))
    whole = draw.integers(0, 16, (count, 8, 32))
    packed = [
        scales[:, :4] | scales[:, 4:] >> 4 << 6,
        leasts[:, :4] | leasts[:, 4:] >> 4 << 6,
        scales[:, 4:] & 15 | (leasts[:, 4:] & 15) << 4,
    ]
    nibbles = whole[:, 0::2] | whole[:, 1::2] << 4
    values = (scale[:, None] * scales)[:, :, None] * whole - (least[:, None] * leasts)[:, :, None]
    blocks = [stored_scale, stored_least, *packed, nibbles.reshape(count, 128)]
    return values.astype(np.float32).reshape(shape), np.hstack([part.astype(np.uint8) for part in blocks])


def q6_k(draw: np.random.Generator, shape: tuple[int, int]) -> tuple[Numbers, Bytes]:
    """Blocks of 256 in 16 groups: value = d·scale·(q - 32), nibbles first, then the upper two bits, then scales."""
    count = shape[0] * shape[1] // 256
    scale, stored = _halves(draw.uniform(0.5, 1.5, count) / 50_000)
    scales = draw.integers(-128, 128, (count, 16))
    whole = draw.integers(0, 64, (count, 2, 4, 32))
    low = (whole[:, :, :2] & 15 | (whole[:, :, 2:] & 15) << 4).reshape(count, 128)
    high = (whole >> 4 << np.array([0, 2, 4, 6])[:, None]).sum(2).reshape(count, 64)
    values = (scale[:, None] * scales)[:, :, None] * (whole.reshape(count, 16, 16) - 32)
    blocks = [low.astype(np.uint8), high.astype(np.uint8), scales.astype(np.int8).view(np.uint8), stored]
    return values.astype(np.float32).reshape(shape), np.hstack(blocks)


# As llama.cpp mixes types in a Q4_K_M file: rows that are no multiple of 256 long fall back to blocks of 32.
MATRICES = {
    "self_attn.q_proj": ("attn_q", q5_0, GGMLQuantizationType.Q5_0),
    "self_attn.k_proj": ("attn_k", q5_0, GGMLQuantizationType.Q5_0),
    "self_attn.v_proj": ("attn_v", q8_0, GGMLQuantizationType.Q8_0),
    "self_attn.o_proj": ("attn_output", q4_k, GGMLQuantizationType.Q4_K),
    "mlp.gate_proj": ("ffn_gate", q5_0, GGMLQuantizationType.Q5_0),
    "mlp.up_proj": ("ffn_up", q5_0, GGMLQuantizationType.Q5_0),
    "mlp.down_proj": ("ffn_down", q6_k, GGMLQuantizationType.Q6_K),
}
NORMS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def gemma_gguf(
    path: Path, *, head_size: int = 256, more: dict[str, str | float | int | list[bool]] | None = None
) -> Gemma3ForCausalLM:
    """Write a Gemma 3 of random blocks, and return the model that they are by the formats' definitions.

    Args:
        path: Of the file.
        head_size: That of every small Gemma 3; the largest has another.
        more: Fields of the architecture besides the usual ones.
    """
    model, draw = small_gemma(head_size), np.random.default_rng(0)
    config, state = model.config, model.state_dict()
    writer = GGUFWriter(path, "gemma3")
    writer.add_name("small")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_sliding_window(WINDOW)
    kinds_of_value = {
        str: writer.add_string,
        float: writer.add_float32,
        int: writer.add_uint32,
        list: writer.add_array,
    }
    for name, value in (more or {}).items():
        kinds_of_value[type(value)](f"gemma3.{name}", value)  # type: ignore[operator]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(TOKENS)
    writer.add_token_scores([-1000.0 if token in WHOLE else -float(len(token)) for token in TOKENS])
    kinds = {**dict.fromkeys(WHOLE, TokenType.USER_DEFINED), **dict.fromkeys(BYTES, TokenType.BYTE)}
    kinds |= {**dict.fromkeys(SPECIAL, TokenType.CONTROL), "<unk>": TokenType.UNKNOWN, "<mask>": TokenType.USER_DEFINED}
    writer.add_token_types([kinds.get(token, TokenType.NORMAL) for token in TOKENS])
    writer.add_pad_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_unk_token_id(3)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)

    def put(ours: str, theirs: str, values: Numbers) -> None:
        state[f"model.{ours}.weight"].copy_(torch.from_numpy(values))

    def norm(ours: str, theirs: str) -> None:
        size = state[f"model.{ours}.weight"].shape
        values = draw.normal(0, 0.3, size).astype(np.float32)
        put(ours, theirs, values)
        writer.add_tensor(f"{theirs}.weight", values + np.float32(1))  # Gemma multiplies by 1 + weight

    embeddings, blocks = q8_0(draw, (len(TOKENS), config.hidden_size))
    put("embed_tokens", "token_embd", embeddings)
    rows = blocks.reshape(len(TOKENS), -1)
    writer.add_tensor("token_embd.weight", rows, raw_dtype=GGMLQuantizationType.Q8_0)
    norm("norm", "output_norm")
    for layer in range(LAYER_COUNT):
        for ours, (theirs, encoded, kind) in MATRICES.items():
            ours, theirs = f"layers.{layer}.{ours}", f"blk.{layer}.{theirs}"
            shape = tuple(state[f"model.{ours}.weight"].shape)
            values, blocks = encoded(draw, (shape[0], shape[1]))
            put(ours, theirs, values)
            writer.add_tensor(f"{theirs}.weight", blocks.reshape(shape[0], -1), raw_dtype=kind)
        for ours, theirs in NORMS.items():
            norm(f"layers.{layer}.{ours}", f"blk.{layer}.{theirs}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model
