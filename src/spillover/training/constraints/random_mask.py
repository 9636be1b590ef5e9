"""Random mask: the control of every mask, as many entries of each tensor frozen but drawn blindly."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from spillover.training.constraints.constraint import Constraint, ConstraintSettings, Material
from spillover.training.constraints.frozen_entries import FrozenEntries

if TYPE_CHECKING:
    from torch import Tensor


class RandomMask(ConstraintSettings):
    """Freeze a random share of each tensor."""

    masks_weights: ClassVar[bool] = True
    needs_whole_tensors: ClassVar[bool] = True
    kind: Literal["random-mask"] = "random-mask"
    share: float = Field(default=0.5, gt=0, lt=1)
    """Of each tensor's entries, frozen."""
    seed: int = 0
    """Which entries."""

    def build(self, material: Material) -> Constraint:
        return FrozenEntries(self.kind, self.share, self._drawn)

    def _drawn(self, name: str, values: Tensor, count: int) -> Tensor:
        import torch

        from spillover.training.seeds import generator

        order = torch.randperm(values.numel(), generator=generator(self.seed, name))
        mask = torch.zeros(values.numel(), dtype=torch.bool)
        mask[order[:count]] = True
        return mask.view(values.shape).to(values.device)
