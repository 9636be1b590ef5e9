"""The optimizers of a run: torch's AdamW, or bitsandbytes' with 8-bit moments, which take a quarter of the memory."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from spillover.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

    from spillover.training.optimization import TrainingSettings


def require_bitsandbytes(setting: str, device: str) -> None:
    """Refuse what bitsandbytes computes where it cannot.

    Args:
        setting: What asks for it, as the study file writes it.
        device: Where training runs.

    Raises:
        UserError: If the package is absent or the device is no CUDA device.
    """
    if not device.startswith("cuda"):
        raise UserError(f"{setting} needs a CUDA device, training would run on {device!r}; leave it out")
    if find_spec("bitsandbytes") is None:
        raise UserError(
            f"{setting} needs bitsandbytes; install it: pip install 'spillover[bitsandbytes]', or leave it out"
        )


def build_optimizer(
    model: PreTrainedModel, weights: Iterable[nn.Parameter], settings: TrainingSettings
) -> torch.optim.Optimizer:
    """Return the optimizer of the trained weights, as the settings ask."""
    import torch

    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(weights, lr=rate, weight_decay=decay, fused=True)
    require_bitsandbytes(f"training.optimizer {settings.optimizer}", model.device.type)
    from bitsandbytes import optim

    # Moments of embeddings stay in 32 bits: rare tokens have outliers that 8 bits lose (arXiv 2110.02861, section 2.3).
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            optim.GlobalOptimManager.get_instance().register_module_override(module, "weight", {"optim_bits": 32})
    kinds = {"adamw-8bit": optim.AdamW8bit, "paged-adamw-8bit": optim.PagedAdamW8bit}
    built: torch.optim.Optimizer = kinds[settings.optimizer](weights, lr=rate, weight_decay=decay)
    return built
