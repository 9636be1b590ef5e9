"""Weight interpolation between base and variant (WiSE-FT, Wortsman et al. 2022): a curve from one training."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from spillover.training.afterwards.change import Change, Shares

if TYPE_CHECKING:
    from spillover.training.afterwards.change import Deltas, Rule


class Interpolate(Change):
    """w = (1 - alpha) w0 + alpha w_tuned."""

    swept: ClassVar[str] = "alpha"
    kind: Literal["interpolate"] = "interpolate"
    alpha: Shares = (0.5,)
    """One or several; 1 is the trained variant itself."""

    @property
    def update_scale(self) -> float:
        return self.value

    def rule(self, deltas: Deltas) -> Rule:
        return lambda name, base, tuned: base.lerp(tuned, self.value)
