"""How a variant learns: the recipe's slots and the settings of the training loop, as frozen data."""

from typing import ClassVar, Literal

from pydantic import Field

from spillover.tasks.settings import Settings


class Demonstrations(Settings):
    """Fine-tuning with in-context learning (FTICL): the same demonstrations before every training row."""

    shorthand: ClassVar[str] = "count"
    count: int = Field(ge=0)
    """Demonstrations prepended to every row; 0 is plain fine-tuning."""
    seed: int = 0
    """Which demonstrations; 0 takes the first of the pool."""


class Recipe(Settings):
    """What makes one way of fine-tuning different from another; every slot has a plain default."""

    demonstrations: Demonstrations = Demonstrations(count=0)


class TrainingSettings(Settings):
    """The optimization, the same for every variant unless a study says otherwise."""

    learning_rate: float = Field(default=2e-5, gt=0)
    """Peak rate of AdamW; it decays linearly to zero without warm-up."""
    epochs: int = Field(default=2, ge=1)
    """Passes over the training rows."""
    batch_size: int = Field(default=16, ge=1)
    """Rows of one optimizer step."""
    weight_decay: float = Field(default=0.0, ge=0)
    max_gradient_norm: float = Field(default=1.0, gt=0)
    """The norm to which larger gradients are clipped."""
    max_length: int = Field(default=1024, ge=8)
    """Tokens of a row, prompt and target; longer rows are treated as ``overlong`` says."""
    overlong: Literal["drop", "trim"] = "drop"
    """Drop rows that are too long, or trim the start of their prompt; a target is never cut. Both are counted."""
