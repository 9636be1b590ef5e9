"""DARE (Yu et al. 2024): drop a random share of the update and rescale the rest, so that its mean stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from spillover.settings import EACH_ONCE, ONE_OR_MORE
from spillover.training.afterwards.change import Change

if TYPE_CHECKING:
    from torch import Tensor

    from spillover.training.afterwards.change import Deltas, Rule

Drop = Annotated[float, Field(gt=0, lt=1)]
Drops = Annotated[tuple[Drop, ...], Field(min_length=1), ONE_OR_MORE, EACH_ONCE]


class Dare(Change):
    """w = w0 + delta x Bernoulli(1 - drop) / (1 - drop)."""

    swept: ClassVar[str] = "drop"
    kind: Literal["dare"] = "dare"
    drop: Drops = (0.9,)
    """One or several shares of the entries that get the base's value back."""
    seed: int = 0
    """Which entries."""

    def rule(self, deltas: Deltas) -> Rule:
        from spillover.training.seeds import generator

        def dropped(name: str, base: Tensor, tuned: Tensor) -> Tensor:
            import torch

            kept = torch.rand(base.shape, generator=generator(self.seed, name)).to(base.device) >= self.value
            return (base + (tuned - base) / (1 - self.value)).where(kept, base)

        return dropped
