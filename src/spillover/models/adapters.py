"""Low-rank adapters in peft's format: trained on, attached to, detached from and merged into one loaded base."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from spillover.errors import SpilloverError, UserError
from spillover.models.fingerprint import CONFIG_FILE, WEIGHTS_FILE, file_entries, read_json
from spillover.models.load import load_model
from spillover.models.reading import MERGE, reading
from spillover.models.tokenizer import quiet_transformers
from spillover.prompts.encoding import TokenIds

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

PREFIX = "base_model.model."
"""What peft puts before the names of a base's weights."""
MERGE_TOLERANCE = 1e-3
"""The largest difference of a logit that merging in float32 may make."""


class TrainedAdapter:
    """An adapter under training inside a model, which computes with it from now on.

    Args:
        handle: peft's own wrapper of the model.
        changes_base: Whether the adapter was cut out of the base's weights, as PiSSA's is. It is then saved as the
            difference to what it was at first, which is an adapter of the untouched base of twice the rank.
    """

    def __init__(self, handle: PeftModel, *, changes_base: bool) -> None:
        from peft import get_peft_model_state_dict

        self._handle = handle
        self._first: dict[str, torch.Tensor] = {}
        if changes_base:
            config: Any = handle.peft_config["default"]
            config.init_lora_weights = True  # or peft cuts the first state out of the base once more when it converts
            state = get_peft_model_state_dict(handle)
            self._first = {name: tensor.detach().clone() for name, tensor in state.items()}

    def save(self, folder: Path, *, base_name: str) -> None:
        """Write the adapter in peft's format; ``base_name`` is what its card says it belongs to."""
        self._handle.peft_config["default"].base_model_name_or_path = base_name
        with quiet_peft(), TemporaryDirectory() as first:
            if self._first:
                save_file(self._first, Path(first) / WEIGHTS_FILE)
            self._handle.save_pretrained(
                str(folder), path_initial_model_for_weight_conversion=first if self._first else None
            )
        (folder / "README.md").unlink(missing_ok=True)  # peft's empty form of a model card
        settings = read_json(folder / CONFIG_FILE)
        for name in ("target_modules", "exclude_modules"):  # sets, which come in another order in every process
            if isinstance(named := settings.get(name), list):
                settings[name] = sorted(named)
        (folder / CONFIG_FILE).write_text(json.dumps(settings, indent=2, sort_keys=True), encoding="utf-8")


def add_adapter(model: PreTrainedModel, options: Mapping[str, object], *, seed: int) -> TrainedAdapter:
    """Put a trainable adapter into ``model``, whose own weights are frozen.

    Args:
        model: A model in float32.
        options: Arguments of peft's LoraConfig.
        seed: Of the adapter's first values.

    Raises:
        UserError: If the model has no layer of the named kind.
    """
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    try:
        with quiet_peft():
            handle = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))  # type: ignore[arg-type]
    except ValueError as error:
        raise UserError(f"parameters: peft refuses these settings: {str(error).splitlines()[0]}") from error
    assert not isinstance(handle, str)
    return TrainedAdapter(handle, changes_base=options.get("init_lora_weights") == "pissa")


def factors(model: PreTrainedModel) -> Iterator[tuple[nn.Parameter, nn.Parameter, float]]:
    """Yield A ``(r, in)``, B ``(out, r)`` and the scale of every layer under training: its update is scale x B A."""
    for module in model.modules():
        held: Any = module
        if isinstance(getattr(module, "lora_A", None), nn.ModuleDict) and "default" in held.lora_A:
            yield held.lora_A["default"].weight, held.lora_B["default"].weight, float(held.scaling["default"])


def attach(model: PreTrainedModel, folder: Path) -> PeftModel:
    """Put a saved adapter into ``model``, which computes with it until it is detached.

    Raises:
        UserError: If the folder is no adapter, or is one of another model.
    """
    from peft import PeftModel

    if not (folder / CONFIG_FILE).is_file():
        raise UserError(f"{folder}: no {CONFIG_FILE}; expected a folder that peft's save_pretrained wrote")
    own = embedding_rows(model)
    rows = vocabulary_rows(model, folder)
    with fitting(folder), quiet_peft():
        if rows != own:
            model.resize_token_embeddings(rows, mean_resizing=False)
        handle = PeftModel.from_pretrained(model, str(folder))
    handle.rows_before = own  # type: ignore[assignment]
    return handle


def embedding_rows(model: PreTrainedModel) -> int:
    """Return how many rows a model's embeddings have."""
    return int(model.get_input_embeddings().weight.shape[0])  # type: ignore[index]


def vocabulary_rows(model: PreTrainedModel, adapter: Path) -> int:
    """Return how many rows a model's embeddings have once it takes an adapter, whose base may have had some added.

    Raises:
        UserError: If the adapter carries embeddings or a head that this model cannot take, also not with added rows.
    """
    parts = {model.get_input_embeddings(), model.get_output_embeddings()}  # type: ignore[no-untyped-call]
    places = {f"{name}.weight": tuple(module.weight.shape) for name, module in model.named_modules() if module in parts}
    own = embedding_rows(model)
    held = {place_of(entry.name): tuple(entry.shape) for entry in file_entries(adapter / WEIGHTS_FILE)}
    found = {name: held[name] for name in places if name in held and held[name] != places[name]}
    rows = next((shape[0] for shape in found.values()), own)
    for name, shape in found.items():
        if shape != (rows, *places[name][1:]) or rows < own:
            raise UserError(
                f"{adapter}: carries {name} {shape}, this base has {places[name]}: no rows added to its vocabulary "
                f"make the one of the other; {MERGE}"
            )
    lacking = places.keys() - held.keys()
    if found and lacking and not model.all_tied_weights_keys:
        raise UserError(
            f"{adapter}: carries {next(iter(found))} with {rows} rows, this base has {own}, and no "
            f"{min(lacking)} with as many: what its added rows held is not known; {MERGE}"
        )
    return rows


def place_of(name: str) -> str:
    """Return the name within its base of a tensor that an adapter carries."""
    return name.removeprefix(PREFIX).replace(".base_layer.", ".")


@contextmanager
def fitting(folder: Path) -> Iterator[None]:
    """Let peft put an adapter on a base inside the block, with one line for whatever it raises."""
    with reading(folder, "the adapter does not fit this base", "give the base it was trained on"):
        yield


def carries_parts(folder: Path) -> bool:
    """Whether an adapter carries whole parts of its base, such as embeddings, which it writes over the base's own."""
    return any("lora_" not in entry.name for entry in file_entries(folder / WEIGHTS_FILE))


def detach(handle: PeftModel) -> None:
    """Take an attached adapter out again; the model's own layers come back.

    Bit by bit what they were, unless the adapter `carries_parts`: those are still written over the base's own.
    """
    from peft.utils.other import ModulesToSaveWrapper

    model: Any = handle.get_base_model()
    wrapped = {name: module for name, module in model.named_modules() if isinstance(module, ModulesToSaveWrapper)}
    handle.unload()
    for name, wrapper in wrapped.items():  # peft leaves the adapter's copy in their place
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, wrapper.original_module)
    if model.get_input_embeddings().weight.shape[0] != handle.rows_before:
        model.resize_token_embeddings(handle.rows_before, mean_resizing=False)


def load_merged(base: Path, adapter: Path, *, device: str = "cpu") -> PreTrainedModel:
    """Return a base in float32 with an adapter merged into its weights."""
    with quiet_peft():
        merged: PreTrainedModel = attach(load_model(base, dtype="float32", device=device), adapter).merge_and_unload()
    return merged


def adapter_fingerprint(adapter: Path) -> tuple[str, bool]:
    """Return the SHA-256 of an adapter's settings and weights, and whether it leaves its base as it is."""
    tensors = load_file(adapter / WEIGHTS_FILE)
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)}".encode() + tensors[name].contiguous().numpy().tobytes())
    settings = read_json(adapter / CONFIG_FILE)
    digest.update(str([settings.get(key) for key in ("r", "lora_alpha", "use_rslora", "use_dora")]).encode())
    return digest.hexdigest(), not any(bool(t.any()) for name, t in tensors.items() if ".lora_B." in name)


def write_scaled(adapter: Path, scale: float, folder: Path) -> None:
    """Write the adapter whose update is ``scale`` times that of another, which must not be DoRA's."""
    tensors = load_file(adapter / WEIGHTS_FILE)
    scaled = {name: tensor * scale if ".lora_B." in name else tensor for name, tensor in tensors.items()}
    folder.mkdir()
    save_file(scaled, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / CONFIG_FILE).write_bytes((adapter / CONFIG_FILE).read_bytes())


@torch.inference_mode()
def export_merged(base: Path, adapter: Path, folder: Path, texts: Sequence[TokenIds]) -> float:
    """Write a base with an adapter merged into it, after comparing the two ways of computing on some texts.

    Returns:
        The largest difference of a logit.

    Raises:
        SpilloverError: If it is above `MERGE_TOLERANCE`; nothing is written then.
    """
    model = load_model(base, dtype="float32", device="cpu")
    handle = attach(model, adapter)
    apart = [model(torch.tensor([ids])).logits for ids in texts]
    with quiet_peft():
        merged: Any = handle.merge_and_unload()
    gap = max(
        float((merged(torch.tensor([ids])).logits - was).abs().max()) for ids, was in zip(texts, apart, strict=True)
    )
    if not gap <= MERGE_TOLERANCE:
        raise SpilloverError(
            f"{adapter}: merging it into {base} moves a logit by {gap:.2g}, more than {MERGE_TOLERANCE:g}; "
            "use the adapter as it is, or train it again with a smaller alpha"
        )
    with quiet_transformers():
        merged.save_pretrained(folder)
    return gap


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence peft's warnings: of names that transformers has since replaced, and of defaults it corrects itself."""
    with warnings.catch_warnings(), quiet_transformers():
        warnings.simplefilter("ignore")
        yield
