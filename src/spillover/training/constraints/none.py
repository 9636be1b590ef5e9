"""No constraint: the weights go where the task's loss takes them."""

from typing import Literal

from spillover.training.constraints.constraint import Constraint, ConstraintSettings, Material


class Unconstrained(ConstraintSettings):
    """Plain training."""

    kind: Literal["none"] = "none"

    def build(self, material: Material) -> Constraint:
        return Constraint()
