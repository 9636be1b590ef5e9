"""How a training optimizes, as settings: the same for every variant unless a study says otherwise."""

import math
from collections.abc import Set
from typing import Any, ClassVar, Literal

from pydantic import Field

from spillover.settings import Settings

OptimizerName = Literal["adamw", "adamw-8bit", "paged-adamw-8bit"]


class TrainingSettings(Settings):
    """The optimization, the same for every variant unless a study says otherwise."""

    added_later: ClassVar[frozenset[str]] = frozenset({"max_steps", "optimizer"})
    learning_rate: float = Field(default=2e-5, gt=0)
    """Peak rate of AdamW; it decays linearly to zero without warm-up."""
    epochs: int = Field(default=2, ge=1)
    """Passes over the training rows."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimizer steps after which training ends before its epochs do; the learning rate decays to zero over them."""
    batch_size: int = Field(default=16, ge=1)
    """Rows of one optimizer step."""
    weight_decay: float = Field(default=0.0, ge=0)
    max_gradient_norm: float = Field(default=1.0, gt=0)
    """The norm to which larger gradients are clipped."""
    max_length: int = Field(default=1024, ge=8)
    """Tokens of a row, prompt and target; longer rows are treated as ``overlong`` says."""
    overlong: Literal["drop", "trim"] = "drop"
    """Drop rows that are too long, or trim the start of their prompt; a target is never cut. Both are counted."""
    optimizer: OptimizerName = "adamw"
    """``adamw-8bit`` keeps its moments in 8 bits, ``paged-adamw-8bit`` also lets them leave a full device."""
    gradient_checkpointing: bool = False
    """Whether activations are computed again on the way back instead of kept: less memory, a third more time. It
    changes no gradient but for rounding, so it is not part of a variant's identity."""

    def identity(self, *, exclude: Set[str] = frozenset()) -> dict[str, Any]:
        """Return what decides the trained weights."""
        return super().identity(exclude={*exclude, "gradient_checkpointing"})

    def batch_sizes(self, row_count: int) -> list[int]:
        """Return the rows of each optimizer step of a training on so many; the last step of a pass may have fewer."""
        whole, rest = divmod(row_count, self.batch_size)
        one_pass = [self.batch_size] * whole + ([rest] if rest else [])
        return (one_pass * self.epochs)[: self.max_steps]

    def epoch_step_count(self, row_count: int) -> int:
        """Return the optimizer steps of one pass over so many rows."""
        return math.ceil(row_count / self.batch_size)

    def step_count(self, row_count: int) -> int:
        """Return the optimizer steps of a training on so many rows."""
        return len(self.batch_sizes(row_count))
