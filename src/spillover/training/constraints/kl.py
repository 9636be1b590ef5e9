"""KL to the base: the model keeps the base's next-token distributions on general text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from spillover.training.constraints.constraint import Constraint, ConstraintSettings, Material, Training

if TYPE_CHECKING:
    from torch import Tensor

    from spillover.training.rows import TrainingRow


class KL(ConstraintSettings):
    """Add strength x KL(base || model), the mean over tokens of general text, to the loss."""

    reads_general_text: ClassVar[bool] = True
    kind: Literal["kl"] = "kl"
    strength: float = Field(default=1.0, gt=0)
    """Weight of one nat of divergence against one nat of the task's loss."""
    rows: int = Field(default=2, ge=1)
    """Paragraphs of general text in each step, in turn."""

    def fault(self, material: Material, batch_size: int) -> str | None:
        if self.rows <= len(material.general):
            return None
        return f"constraint.rows is {self.rows}; the general text has {len(material.general)} paragraphs; lower it"

    def build(self, material: Material) -> Constraint:
        return KLConstraint(self, material.general)


class KLConstraint(Constraint):
    """The base's log-probabilities are computed once, before training, and kept."""

    def __init__(self, settings: KL, rows: Sequence[TrainingRow]) -> None:
        self._settings = settings
        self._rows = rows
        self._base: dict[int, Tensor] = {}
        self._training: Training | None = None

    def begin(self, training: Training) -> None:
        import torch

        self._training = training
        with torch.no_grad():
            for index, row in enumerate(self._rows):
                self._base[index] = training.logits([row], 0).log_softmax(dim=-1)

    def before_step(self, step: int) -> Tensor:
        import torch

        assert self._training is not None
        count = self._settings.rows
        chosen = [(step * count + offset) % len(self._rows) for offset in range(count)]
        ours = self._training.logits([self._rows[index] for index in chosen], 0).log_softmax(dim=-1)
        base = torch.cat([self._base[index] for index in chosen])
        divergence = torch.nn.functional.kl_div(ours, base, log_target=True, reduction="batchmean")
        return self._settings.strength * divergence
