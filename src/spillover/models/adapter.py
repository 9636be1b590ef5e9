"""A loaded base with the weights of an adapter folder (peft) merged into it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spillover.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def with_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Return ``model`` with an adapter's weights added to its own, in place, so that it costs nothing to run.

    Raises:
        UserError: The folder is no adapter, peft is not installed, or the adapter is of another model.
    """
    if not (folder / "adapter_config.json").is_file():
        raise UserError(f"{folder}: no adapter_config.json; expected a folder that peft's save_pretrained wrote")
    try:
        from peft import PeftModel
    except ImportError:
        raise UserError(f"{folder}: an adapter needs peft; run: pip install peft") from None
    try:
        merged: PreTrainedModel = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{folder}: the adapter does not fit this base ({reason}); give the base it was trained on"
        ) from error
    merged.train(False)
    return merged
