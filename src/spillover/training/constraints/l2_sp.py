"""L2-SP: a penalty on the squared distance to the base's weights (sheet spider, 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from spillover.training.constraints.constraint import Constraint, ConstraintSettings, Material, Training
from spillover.training.sharding import whole_in_loss

if TYPE_CHECKING:
    from torch import Tensor, nn


class L2SP(ConstraintSettings):
    """Add strength x sum (w - w0)^2 to the loss; for LoRA the distance is that of the merged weights."""

    kind: Literal["l2-sp"] = "l2-sp"
    strength: float = Field(default=0.01, gt=0)
    """Nats per squared unit of distance."""

    def build(self, material: Material) -> Constraint:
        return L2SPConstraint(self.strength)


class L2SPConstraint(Constraint):
    """The distance is summed tensor by tensor; that of an adapter is taken from its factors."""

    def __init__(self, strength: float) -> None:
        self._strength = strength
        self._weights: dict[str, nn.Parameter] = {}
        self._base: dict[str, Tensor] = {}
        self._factors: list[tuple[nn.Parameter, nn.Parameter, float]] = []

    def begin(self, training: Training) -> None:
        from spillover.models.adapters import factors

        self._factors = list(factors(training.model))
        if not self._factors:
            self._weights = dict(training.weights)
            self._base = {name: weight.detach().clone() for name, weight in self._weights.items()}

    def before_step(self, step: int) -> Tensor | None:
        terms = [(weight - self._base[name]).square().sum() for name, weight in self._weights.items()]
        # ||B A||^2 = tr(B'B A A'): two small products instead of the whole update.
        factors = [(whole_in_loss(a), whole_in_loss(b), scale) for a, b, scale in self._factors]
        terms += [scale**2 * ((b.T @ b) * (a @ a.T)).sum() for a, b, scale in factors]
        return self._strength * sum(terms[1:], start=terms[0])
