"""Tells from a tensor's name which layer and which type of module it belongs to."""

from __future__ import annotations

import re

from spillover.training.parameters.selection import LAYER

EMBEDDING = "embedding"
OTHER = "other"
_TYPES = {
    "norm": re.compile(r"norm|\bln_\w+\b"),
    EMBEDDING: re.compile(r"\b(?:embed_tokens|wte|embed_in|word_embeddings|embeddings)\b"),
    "positions": re.compile(r"\b(?:wpe|embed_positions)\b"),
    "attention q": re.compile(r"\b(?:q_proj|query)\b"),
    "attention k": re.compile(r"\b(?:k_proj|key)\b"),
    "attention v": re.compile(r"\b(?:v_proj|value)\b"),
    "attention qkv": re.compile(r"\b(?:c_attn|qkv_proj|query_key_value|Wqkv)\b"),
    "attention o": re.compile(r"\b(?:o_proj|out_proj|attn\.c_proj|attention\.dense)\b"),
    "mlp gate": re.compile(r"\bgate_proj\b"),
    "mlp gate and up": re.compile(r"\bgate_up_proj\b"),
    "mlp up": re.compile(r"\b(?:up_proj|c_fc|fc1|fc_in|dense_h_to_4h)\b"),
    "mlp down": re.compile(r"\b(?:down_proj|mlp\.c_proj|fc2|fc_out|dense_4h_to_h)\b"),
    "head": re.compile(r"\b(?:lm_head|embed_out)\b"),
}
"""Names of Llama, Qwen, Gemma, Mistral, Phi, GPT-2, GPT-J, GPT-NeoX and OPT; the first that fits counts."""

MODULE_TYPES = (
    EMBEDDING,
    "positions",
    *(name for name in _TYPES if name.startswith(("attention", "mlp"))),
    "norm",
    "head",
    OTHER,
)
"""In the order of a pass through the model."""


def layer_of(name: str) -> str:
    """Return the number of a tensor's layer, or outside the layers what the tensor is called."""
    match = LAYER.search(name)
    return match.group(1) if match else name.removesuffix(".weight").rsplit(".", 1)[-1]


def depth(layer: str) -> tuple[int, int, str]:
    """Return what layers are sorted by: numbered ones in the model's order, then the others by name."""
    return (0, int(layer), "") if layer.isdigit() else (1, 0, layer)


def module_type_of(name: str) -> str:
    """Return one of `MODULE_TYPES`."""
    return next((module for module, pattern in _TYPES.items() if pattern.search(name)), OTHER)
