"""Adapters and whole models that were trained elsewhere: what a user's words mean, and whether it fits a base."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from spillover.errors import UserError
from spillover.models.fingerprint import (
    CONFIG_FILE,
    TOKENIZER_FILES,
    WEIGHTS_FILE,
    adapter_content_fingerprint,
    file_entries,
    read_json,
    tokenizer_fingerprint,
)
from spillover.models.reading import MERGE, reading
from spillover.models.resolve import resolve_model
from spillover.models.spec import ResolvedModel

LEAVES_BASE = (True, False, "gaussian", "eva", "orthogonal")
"""First values of LoRA that leave the base's own weights as they are; PiSSA, OLoRA, LoftQ and others cut into them."""
REACHES_FURTHER = ("layer_replication", "trainable_token_indices")
"""Settings by which an adapter replaces parts of its base, so that it cannot be taken off again."""
LARGEST = 1e15
"""Of an update: its square, times a width and a length, is still a number in float32 and bfloat16."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Adopted:
    """An adapter or a whole model on this disk, identified by its content."""

    path: Path
    is_adapter: bool
    fingerprint: str
    tokenizer_fingerprint: str
    """That of the base where the folder has no tokenizer of its own."""
    context_length: int
    """Tokens."""


def resolve_adapter(
    folder: Path, base: ResolvedModel, *, cache: Path, notice: Callable[[str], None] = print
) -> Adopted:
    """Return the adapter of a folder that peft wrote.

    Raises:
        UserError: It is no adapter, is pickled, or is of a kind that the base cannot take on and off.
    """
    settings, weights = folder / CONFIG_FILE, folder / WEIGHTS_FILE
    if not settings.is_file():
        whole = " (it is a whole model: give it as model, not as adapter)" if (folder / "config.json").is_file() else ""
        raise UserError(f"{folder}: no {CONFIG_FILE}{whole}; expected a folder that peft's save_pretrained wrote")
    if not weights.is_file():
        pickled = " (its .bin file can run code and is never read)" if list(folder.glob("*.bin")) else ""
        raise UserError(f"{folder}: no {WEIGHTS_FILE}{pickled}; save the adapter again as safetensors")
    file_entries(weights)  # or what is damaged would be digested
    said = read_json(settings)
    if fault := _unfit(said):
        raise UserError(f"{settings}: {fault}; {MERGE}")
    made_for = str(said.get("base_model_name_or_path") or "")
    if made_for and _last_word(made_for) not in {_last_word(base.name), _last_word(str(base.path))}:
        notice(
            f"{folder}: the adapter says it was trained on {made_for!r}, the base here is {base.name!r}; "
            "their shapes are compared, whether the weights are the same cannot be"
        )
    has_tokenizer = any((folder / name).is_file() for name in TOKENIZER_FILES)
    with reading(folder, "this adapter cannot be read", "save it again"):
        return Adopted(
            folder.resolve(),
            is_adapter=True,
            fingerprint=adapter_content_fingerprint(settings, weights, cache=cache),
            tokenizer_fingerprint=tokenizer_fingerprint(folder, cache=cache)
            if has_tokenizer
            else base.tokenizer_fingerprint,
            context_length=base.context_length,
        )


def resolve_whole(
    name_or_path: str,
    base: ResolvedModel,
    *,
    cache: Path,
    folder: Path | None = None,
    notice: Callable[[str], None] = print,
) -> Adopted:
    """Return the fine-tuned model that a user's word means, see `spillover.models.resolve.resolve_model`.

    Raises:
        UserError: Nothing usable has this name, or it is the base itself.
    """
    if (Path(name_or_path) / CONFIG_FILE).is_file() and not (Path(name_or_path) / "config.json").is_file():
        raise UserError(f"{name_or_path}: an adapter, not a whole model; give it as adapter")
    found = resolve_model(name_or_path, cache=cache, folder=folder, notice=notice)
    if found.fingerprint == base.fingerprint:
        raise UserError(f"{name_or_path}: has the weights of the base {base.name!r}; give the fine-tuned model")
    return Adopted(
        found.path,
        is_adapter=False,
        fingerprint=found.fingerprint,
        tokenizer_fingerprint=found.tokenizer_fingerprint,
        context_length=found.context_length,
    )


def _unfit(settings: Mapping[str, object]) -> str | None:
    """Return why an adapter of these settings cannot be put onto a loaded base and taken off again, if it cannot."""
    if settings.get("peft_type") != "LORA":
        return f"peft_type is {settings.get('peft_type')!r}, expected 'LORA'"
    if (made := settings.get("init_lora_weights", True)) not in LEAVES_BASE:
        return f"init_lora_weights is {made!r}: the adapter belongs to a base whose own weights were changed"
    if (task := settings.get("task_type")) not in (None, "CAUSAL_LM"):
        return f"task_type is {json.dumps(task)}: the adapter belongs to something else than a language model"
    for name in REACHES_FURTHER:
        if settings.get(name):
            return f"{name} is {json.dumps(settings[name])}: it replaces parts of the base"
    if settings.get("bias", "none") != "none":
        return f"bias is {settings['bias']!r}: it replaces biases of the base"
    return None


def _last_word(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2].lower()


def check_adapter(base: Path, adapter: Path) -> None:
    """Refuse an adapter that is one of another base, that leaves its base as it is, or that no number comes out of.

    Only the shapes of the base are built. Whole embeddings, heads and other parts that the adapter carries beside its
    updates are taken where the base has them in the same shape, embeddings and head also with added rows.

    Raises:
        UserError: If so.
    """
    import torch
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict
    from safetensors.torch import load_file

    from spillover.models.adapters import embedding_rows, fitting, place_of, quiet_peft, vocabulary_rows
    from spillover.models.load import without_weights

    built = without_weights(base)
    if (rows := vocabulary_rows(built, adapter)) != embedding_rows(built):
        built.resize_token_embeddings(rows, mean_resizing=False)
    places = {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()}
    with fitting(adapter), quiet_peft(), torch.device("meta"):
        config = PeftConfig.from_pretrained(str(adapter))
        handle = get_peft_model(built, config)
        state = get_peft_model_state_dict(handle, save_embedding_layers=False)
        wanted = {name: tuple(tensor.shape) for name, tensor in state.items()}
        held = {entry.name: entry.shape for entry in file_entries(adapter / WEIGHTS_FILE)}
        carried = {name: place_of(name) for name in held if name not in wanted}
        layers = [module for module in handle.modules() if hasattr(module, "lora_A")]
        scales = [float(scale) for layer in layers for scale in layer.scaling.values()]
    with fitting(adapter):  # apart, for some versions of safetensors would read nothing but shapes above
        tensors = load_file(adapter / WEIGHTS_FILE)
    wanted |= {name: places[place] for name, place in carried.items() if place in places}
    if fault := _difference(held, wanted):
        raise UserError(f"{adapter}: the adapter does not fit this base: {fault}; give the base it was trained on")
    if broken := [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]:
        raise UserError(f"{adapter}: {broken[0]} holds values that are no finite numbers; train it again")
    peaks = [max((float(t.abs().max()) for n, t in tensors.items() if part in n), default=0.0) for part in ("_A", "_B")]
    if not max(map(abs, scales), default=0.0) * peaks[0] * peaks[1] < LARGEST:
        raise UserError(f"{adapter}: its update, scaled by lora_alpha, is too large to compute with; train it again")
    parts = [tensor for name, tensor in tensors.items() if "_B" in name or "lora_" not in name]
    if not any(bool(tensor.any()) for tensor in parts):
        raise UserError(f"{adapter}: every update of the adapter is zero: it has the weights of its base; train it")


def check_whole(base: Path, model: Path) -> None:
    """Refuse a model of another architecture than its base's; only shapes are compared.

    A vocabulary of another size is none: rows of the embeddings may have been added.

    Raises:
        UserError: If so.
    """
    from spillover.models.load import without_weights

    shapes = {}
    for folder in (base, model):
        built = without_weights(folder)
        tied = set(built.all_tied_weights_keys)
        state = {name: tuple(tensor.shape) for name, tensor in built.state_dict().items() if name not in tied}
        rows = built.config.get_text_config(decoder=True).vocab_size
        shapes[folder] = {
            name: ("vocabulary", *shape[1:]) if shape and shape[0] == rows else shape for name, shape in state.items()
        }
    if fault := _difference(shapes[model], shapes[base]):
        raise UserError(f"{model}: the model was not fine-tuned from this base: {fault}; give the base it comes from")


def _difference(held: Mapping[str, object], wanted: Mapping[str, object]) -> str | None:
    """Return the first difference between two sets of named shapes in words."""
    for name in sorted(held.keys() | wanted.keys()):
        if name not in wanted:
            return f"the base has no place for {name} {held[name]}"
        if name not in held:
            return f"it lacks {name} {wanted[name]}"
        if held[name] != wanted[name]:
            return f"{name} has the shape {held[name]}, the base takes {wanted[name]}"
    return None
