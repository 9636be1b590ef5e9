"""Changes trained weights without training, tensor by tensor against the base on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from spillover.training.afterwards.change import Change
from spillover.training.drift.tensors import Tensors

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.no_grad()
def change_weights(model: PreTrainedModel, base: Path, change: Change) -> None:
    """Apply a change of a single value to a trained model in float32, in place; tied tensors are changed once."""
    before, state = Tensors.of_folder(base), model.state_dict()
    names: dict[int, str] = {}
    for name in before.names:
        names.setdefault(state[name].data_ptr(), name)

    def deltas() -> Iterator[torch.Tensor]:
        return (state[name] - before[name].to(state[name]) for name in names.values())

    rule = change.rule(deltas)
    for name in names.values():
        state[name].copy_(rule(name, before[name].to(state[name]), state[name]))
