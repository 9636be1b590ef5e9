"""Refuses a GGUF file of which transformers would leave something out that changes what the model computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.errors import UserError

if TYPE_CHECKING:
    from gguf import GGUFReader
    from transformers import PreTrainedModel


def require_whole(reader: GGUFReader, model: PreTrainedModel, path: Path) -> None:
    """Raise a UserError that names what of the file at ``path`` the model read from it lacks."""
    architecture = str(reader.fields["general.architecture"].contents())

    def stated(name: str) -> Any:
        field = reader.get_field(f"{architecture}.{name}")
        return None if field is None else field.contents()

    lost = _lost_settings(stated, model.config, architecture) or _lost_weights(reader, model)
    if lost:
        raise UserError(f"{path}: transformers leaves out {lost}; use a safetensors folder of this model")


def _lost_settings(stated: Callable[[str], Any], config: Any, architecture: str) -> str:
    """Name a setting that the file states and the configuration lacks; empty if there is none."""
    scaling = stated("rope.scaling.type")
    if scaling not in (None, "none") and architecture != "gpt-oss":
        return f"the scaling of rotary positions ({scaling})"
    # No file states this scale: llama.cpp knows it of the models, transformers takes that of the smaller ones.
    scale, head_size = getattr(config, "query_pre_attn_scalar", None), getattr(config, "head_dim", None)
    if scale != head_size and scale is not None:
        return f"the scale of attention (it takes {scale}, heads are {head_size} wide)"
    local = stated("rope.freq_base_swa")
    if local is not None and local != _local_base(config):
        return f"the rotary base of windowed layers ({local:g})"
    pattern = stated("attention.sliding_window_pattern")
    kinds = getattr(config, "layer_types", None) or []
    if isinstance(pattern, int):
        pattern = [(layer + 1) % pattern != 0 for layer in range(len(kinds))]
    if pattern is not None and [bool(has_window) for has_window in pattern] != [
        kind == "sliding_attention" for kind in kinds
    ]:
        return "which layers have a window"
    return ""


def _local_base(config: Any) -> float | None:
    found = (getattr(config, "rope_parameters", None) or {}).get("sliding_attention")
    return found.get("rope_theta") if isinstance(found, dict) else None


def _lost_weights(reader: GGUFReader, model: PreTrainedModel) -> str:
    """Say how many numbers of the file are in no weight; blocks past the last layer predict further tokens."""
    layers = model.config.get_text_config(decoder=True).num_hidden_layers
    tensors = [
        tensor
        for tensor in reader.tensors
        if not (tensor.name.startswith("blk.") and int(tensor.name.split(".")[1]) >= layers)
    ]
    for tensor in tensors:
        if tensor.name.startswith("rope_f"):
            return f"the scaling of rotary positions (tensor {tensor.name})"
    held = sum(int(tensor.n_elements) for tensor in tensors)
    taken = sum(weight.numel() for weight in model.parameters())
    return "" if held == taken else f"weights (the file holds {held:,} numbers, it takes {taken:,})"
