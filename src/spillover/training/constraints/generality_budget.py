"""Generality budget: training stops before general text becomes less likely than a budget allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from spillover.errors import SpilloverError
from spillover.training.constraints.constraint import Constraint, ConstraintSettings, Material, Report, Training
from spillover.training.rows import TrainingRow

if TYPE_CHECKING:
    from torch import Tensor


class GeneralityBudget(ConstraintSettings):
    """Stop when the loss on general text has risen by more than the budget; keep the last weights within it."""

    reads_general_text: ClassVar[bool] = True
    kind: Literal["generality-budget"] = "generality-budget"
    rise: float = Field(default=0.1, gt=0)
    """Nats per token above the base's loss on general text."""
    every: int = Field(default=10, ge=1)
    """Steps from one look to the next."""

    def build(self, material: Material) -> Constraint:
        return BudgetConstraint(self, material.general)


class BudgetConstraint(Constraint):
    """Holds the trained weights of the last look that was within the budget."""

    kept: ClassVar[tuple[str, ...]] = ("within",)
    recorded: ClassVar[tuple[str, ...]] = (*Constraint.recorded, "_rises")

    def __init__(self, settings: GeneralityBudget, rows: Sequence[TrainingRow]) -> None:
        self._settings = settings
        self._rows = rows
        self._training: Training | None = None
        self._first = 0.0
        self.within: dict[str, Tensor] = {}
        self._rises: list[float] = []
        self._is_exceeded = False

    def begin(self, training: Training) -> None:
        self._training = training
        self._first = self._loss()

    def after_step(self, step: int) -> bool:
        assert self._training is not None
        if (step + 1) % self._settings.every and step + 1 < self._training.step_count:
            return True
        rise = self._loss() - self._first
        self._rises.append(rise)
        if rise > self._settings.rise:
            self._is_exceeded = True
            return False
        self.within = {name: weight.detach().clone() for name, weight in self._training.weights.items()}
        return True

    def end(self) -> None:
        assert self._training is not None
        if not self._is_exceeded:
            return
        if not self.within:
            raise SpilloverError(
                f"the loss on general text rose by {self._rises[0]:.3f} nats a token within the first "
                f"{self._settings.every} steps, the budget is {self._settings.rise:g}; lower training.learning_rate or "
                "constraint.every, or raise constraint.rise"
            )
        for name, weight in self._training.weights.items():
            weight.data.copy_(self.within[name])

    def report(self) -> Report:
        return {"general_loss_rises": self._rises, "stopped_early": self._is_exceeded}

    def _loss(self) -> float:
        from spillover.training.probe import general_loss

        assert self._training is not None
        return general_loss(self._training.model, self._training.logits, self._rows)
