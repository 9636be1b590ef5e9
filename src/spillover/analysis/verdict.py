"""What is said of one variant: a light and a sentence."""

from dataclasses import dataclass
from typing import Literal

Light = Literal["keeps", "unclear", "mixed", "loses", "untested"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happened to one variant, or to a recipe with several training seeds, in one sentence."""

    variant: str
    """The variant's id, or the recipe's name, task and size."""
    variants: tuple[str, ...]
    """Ids of the variants that it is of."""
    sentence: str
    """``id: numbers: reading.``"""
    numbers: tuple[str, ...]
    """One relation and kind each: ``in-domain +0.21 [0.15, 0.27] ROUGE-L``."""
    reading: str
    """``this seed gains its task, loses out of domain``"""
    light: Light
    rule: str
    worst: str
    """The task with the largest fall, with its interval and items; empty without one."""
    largest_loss: str
    """The largest loss of a task that is not excluded; empty where every loss is, or none could have been shown."""
    settle: str
    """What would settle an unclear one; empty for others."""
    idle: tuple[str, ...]
    """Tasks that cannot show a loss here."""
    negative_transfer: tuple[str, ...] = ()
    """Tasks it was not trained on and in which some cell is significantly below the base, after Holm's adjustment."""
    evidence: tuple[str, ...] = ()
    """What other questions found of it, a line each."""

    @property
    def ends(self) -> tuple[str, ...]:
        """What is said after the reading, where there is anything: worst task, largest loss, what would settle it."""
        return tuple(part for part in (self.worst, self.largest_loss, self.settle) if part)
