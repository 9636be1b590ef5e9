"""Loading a model folder into torch: safetensors only, no code from the folder, no noise."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

from spillover.errors import UserError
from spillover.models.fingerprint import (
    read_json,
    tensor_entries,
    weight_files,
)
from spillover.models.precision import Precision
from spillover.models.reading import reading, reason_of, require_bounded
from spillover.models.tokenizer import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ATTENTION = "sdpa"
"""Torch's own, whatever a folder's settings say."""
CANNOT_LOAD = "transformers cannot load this model"
DEVICES = ("cpu", "cuda", "mps", "xpu")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_model(path: Path, *, dtype: Precision, device: str, bits: Literal[4] | None = None) -> "PreTrainedModel":
    """Return the causal language model of a folder, in evaluation mode, with torch's own attention (sdpa).

    Args:
        dtype: Of the weights.
        bits: 4 rounds the linear layers but the output embedding, for training an adapter on them; needs a CUDA device
            and bitsandbytes.

    Raises:
        UserError: The folder has no safetensors weights, transformers cannot read it, or its weights are not those of a
            language model.
    """
    require_shapes(path)
    with opened(path):
        loading: Any = AutoModelForCausalLM.from_pretrained(
            path,
            # Read apart, or what the file says of attention would be taken in place of ours.
            config=AutoConfig.from_pretrained(path, trust_remote_code=False, local_files_only=True),
            output_loading_info=True,
            dtype=DTYPES[dtype],
            attn_implementation=ATTENTION,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            **(_rounded(device) if bits else {}),
        )
    model: PreTrainedModel = loading[0]
    require_all_weights(loading[1], path)
    if not bits:
        torch.nn.Module.to(model, device)
    model.train(False)
    return model


@contextmanager
def opened(folder: Path) -> Iterator[None]:
    """Let transformers read a model folder inside the block: quietly, and with one line for whatever it raises."""
    require_bounded(folder)
    with quiet_transformers(), reading(folder, CANNOT_LOAD, "save or fetch it again, or choose another model"):
        yield


def without_weights(folder: Path) -> "PreTrainedModel":
    """Return a model of a folder's configuration that has shapes and no memory.

    Raises:
        UserError: transformers cannot build it.
    """
    with opened(folder), torch.device("meta"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        config._attn_implementation = ATTENTION
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    return model


def require_shapes(folder: Path) -> None:
    """Refuse a folder whose tensors have another shape than the weights of the same name, before memory is taken."""
    entries = tensor_entries(folder)
    if "quantization_config" in read_json(folder / "config.json"):
        return  # packed, and unpacked by whatever reads them
    state = without_weights(folder).state_dict()
    for entry in entries:
        if entry.name in state and entry.shape != tuple(state[entry.name].shape):
            raise UserError(
                f"{entry.file}: {entry.name} has the shape {entry.shape}, config.json asks for "
                f"{tuple(state[entry.name].shape)}; fetch or save the model again"
            )


def _rounded(device: str) -> dict[str, object]:
    """Return what asks transformers for QLoRA's base: 4-bit NormalFloat, its constants rounded too, bfloat16 products
    (arXiv 2305.14314, section 3).
    """
    config = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def require_all_weights(info: Mapping[str, Any], path: Path) -> None:
    """Refuse a model some of whose weights its files lack, or whose files hold weights that it does not compute with.

    transformers would fill the first with random numbers, and leave the second out.
    """
    lacking = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
    if lacking:
        raise UserError(
            f"{path}: {len(lacking)} weights are missing or of another shape, such as {lacking[0]}; "
            "expected all weights of the architecture that config.json names"
        )
    if unused := sorted(map(str, info["unexpected_keys"])):
        raise UserError(
            f"{path}: {len(unused)} weights are no part of a language model of this architecture, such as {unused[0]}; "
            "give a model that was saved as a language model (AutoModelForCausalLM), not as a classifier or with "
            "other parts"
        )


def preferred_device() -> str:
    """Return the fastest device torch sees: ``"cuda"``, ``"mps"`` or ``"cpu"``."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def require_device(name: str) -> None:
    """Refuse a device that torch here cannot compute on.

    Raises:
        UserError: If so.
    """
    kind = name.partition(":")[0]
    try:
        if kind in DEVICES:
            torch.zeros(1, device=name)
            return
        reason = "no such device"
    except Exception as error:  # each kind of device has errors of its own
        reason = reason_of(error)
    raise UserError(
        f"device {name!r} cannot be used here ({reason}); expected auto, {', '.join(DEVICES)}, one that this build of "
        f"torch ({torch.__version__}) was made for"
    )


def load_weights_into(model: "PreTrainedModel", folder: Path) -> None:
    """Overwrite every weight of ``model`` with those of another folder of the same architecture, in place.

    Tied tensors may be saved once or several times; copies of a tie must agree.

    Raises:
        UserError: A tensor is missing, unknown, of another shape, or differs from the tensor it is tied to.
    """
    state = model.state_dict()
    entries = {entry.name: entry for entry in tensor_entries(folder)}
    unknown = sorted(entries.keys() - state.keys())
    filled = {state[name].data_ptr() for name in entries.keys() & state.keys()}
    missing = sorted(name for name, tensor in state.items() if name not in entries and tensor.data_ptr() not in filled)
    shapes = sorted(n for n, entry in entries.items() if n in state and entry.shape != tuple(state[n].shape))
    for names, fault in ((unknown, "not in the model"), (missing, "missing"), (shapes, "of another shape")):
        if names:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise UserError(f"{folder}: tensors {fault}: {shown}; expected weights of the same architecture")
    written: dict[int, str] = {}
    with opened(folder), torch.no_grad():
        for file in weight_files(folder):
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 (not a mapping)
                    target, value = state[name], tensors.get_tensor(name)
                    first = written.setdefault(target.data_ptr(), name)
                    if first != name and not torch.equal(target, value.to(target)):
                        raise UserError(
                            f"{folder}: {name} differs from {first}, which this model ties to it; save it tied"
                        )
                    target.copy_(value)
