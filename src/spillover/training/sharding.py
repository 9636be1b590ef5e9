"""Splits a model over processes while it trains (torch's FSDP2) and puts it together again.

Every process keeps a part of each tensor, of its gradient and of its moments. A layer is put together when a pass
comes to it, so all processes must take part in every pass, in the same order.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@contextmanager
def sharded(model: PreTrainedModel, device: str) -> Iterator[PreTrainedModel]:
    """Yield a model split over all processes; after the block the leading one's ``model`` has its trained weights.

    Each process gives its own part of the weights it holds, so they must all hold the same. The others' models are used
    up. Where the block fails nothing is put together, since other processes may have gone on.

    Args:
        model: Whole, in processor memory, from where parts are moved layer by layer.
        device: Where parts are kept and passes run.
    """
    import torch
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    leads = distributed.get_rank() == 0
    split = copy.deepcopy(model) if leads else model
    mesh = init_device_mesh(torch.device(device).type, (distributed.get_world_size(),))
    layers = [module for module in split.modules() if type(module).__name__ in (split._no_split_modules or ())]
    for module in (*layers, split):
        # Without resharding, what a pass without gradients leaves whole would be stale after the next step.
        unit = fully_shard(module, mesh=mesh, reshard_after_forward=True)
        assert isinstance(unit, FSDPModule)
        unit.set_gradient_divide_factor(1.0)  # gradients are added, not averaged: the loss counts all target tokens
        unit.set_force_sum_reduction_for_comms(True)  # gloo knows no other
    yield split
    for part, weight in zip(split.parameters(), model.parameters(), strict=True):
        if part.requires_grad:
            trained = whole(part.detach())
            if leads:
                weight.data.copy_(trained)


def is_sharded(tensor: torch.Tensor) -> bool:
    """Whether a tensor is split over processes."""
    return hasattr(tensor, "placements")  # torch's DTensor, whose module takes long to import


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return a split tensor put together, in processor memory, and any other as it is; all processes must call it."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor


def split_like(tensor: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return this process's part of a whole tensor that has the shape of ``weight``, which may be split; or itself."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(weight, DTensor) or tensor.shape != weight.shape:
        return tensor
    return distribute_tensor(tensor, weight.device_mesh, weight.placements, src_data_rank=None)


def whole_in_loss(weight: torch.Tensor) -> torch.Tensor:
    """Return a split weight put together for a loss that all processes compute; each adds its part of the gradient."""
    from torch.distributed.tensor import DTensor, Partial

    return weight.full_tensor(grad_placements=(Partial(),)) if isinstance(weight, DTensor) else weight
