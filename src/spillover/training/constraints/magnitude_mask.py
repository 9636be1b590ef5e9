"""Magnitude mask: the largest weights of each tensor keep the base's value (sheet spider, 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from spillover.training.constraints.constraint import Constraint, ConstraintSettings, Material
from spillover.training.constraints.frozen_entries import FrozenEntries

if TYPE_CHECKING:
    from torch import Tensor


class MagnitudeMask(ConstraintSettings):
    """Freeze the top share of each tensor by |w0|."""

    masks_weights: ClassVar[bool] = True
    needs_whole_tensors: ClassVar[bool] = True
    kind: Literal["magnitude-mask"] = "magnitude-mask"
    share: float = Field(default=0.5, gt=0, lt=1)
    """Of each tensor's entries, frozen."""

    def build(self, material: Material) -> Constraint:
        return FrozenEntries(self.kind, self.share, _largest)


def _largest(name: str, values: Tensor, count: int) -> Tensor:
    mask = values.new_zeros(values.numel()).bool()
    mask[values.abs().flatten().topk(count).indices] = True
    return mask.view(values.shape)
