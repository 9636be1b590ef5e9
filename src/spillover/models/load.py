"""Loading a model folder into torch: safetensors only, no code from the folder, no noise."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from spillover.errors import UserError
from spillover.models.fingerprint import tensor_entries, weight_files
from spillover.models.precision import Precision
from spillover.models.tokenizer import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_model(path: Path, *, dtype: Precision, device: str, bits: Literal[4] | None = None) -> "PreTrainedModel":
    """Return the causal language model of a folder, in evaluation mode, with torch's own attention (sdpa).

    Args:
        dtype: Of the weights.
        bits: 4 rounds the linear layers but the output embedding, for training an adapter on them; needs a CUDA device
            and bitsandbytes.

    Raises:
        UserError: The folder has no safetensors weights, or its architecture needs code of its own.
    """
    weight_files(path)
    with quiet_transformers():
        try:
            loading: Any = AutoModelForCausalLM.from_pretrained(
                path,
                output_loading_info=True,
                dtype=DTYPES[dtype],
                attn_implementation="sdpa",
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                **(_rounded(device) if bits else {}),
            )
        except ValueError as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"{path}: transformers cannot load this architecture ({reason}); choose another model"
            ) from error
    model: PreTrainedModel = loading[0]
    require_all_weights(loading[1], path)
    if not bits:
        torch.nn.Module.to(model, device)
    model.train(False)
    return model


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
    """Refuse a model some of whose weights its files lack; transformers would fill them with random numbers."""
    lacking = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
    if lacking:
        raise UserError(
            f"{path}: {len(lacking)} weights are missing or of another shape, such as {lacking[0]}; "
            "expected all weights of the architecture that config.json names"
        )


def preferred_device() -> str:
    """Return the fastest device torch sees: ``"cuda"``, ``"mps"`` or ``"cpu"``."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


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
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as tensors, torch.no_grad():
            for name in tensors.keys():  # noqa: SIM118 (not a mapping)
                target, value = state[name], tensors.get_tensor(name)
                first = written.setdefault(target.data_ptr(), name)
                if first != name and not torch.equal(target, value.to(target)):
                    raise UserError(f"{folder}: {name} differs from {first}, which this model ties to it; save it tied")
                target.copy_(value)
