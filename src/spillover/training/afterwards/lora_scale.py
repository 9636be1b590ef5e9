"""LoRA scale: a trained adapter's update, weakened or strengthened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from spillover.settings import EACH_ONCE, ONE_OR_MORE
from spillover.training.afterwards.change import Change

if TYPE_CHECKING:
    from spillover.training.afterwards.change import Deltas, Rule

Scale = Annotated[float, Field(gt=0)]
Scales = Annotated[tuple[Scale, ...], Field(min_length=1), ONE_OR_MORE, EACH_ONCE]


class LoraScale(Change):
    """w = w0 + scale x B A."""

    swept: ClassVar[str] = "scale"
    kind: Literal["lora-scale"] = "lora-scale"
    scale: Scales = (0.5,)
    """One or several factors of the trained update; above 1 goes beyond it."""

    @property
    def update_scale(self) -> float:
        return self.value

    def rule(self, deltas: Deltas) -> Rule:
        return lambda name, base, tuned: base.lerp(tuned, self.value)
