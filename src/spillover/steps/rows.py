"""What a variant trains on, as a value: a task's rows alone, or mixed with others, and what is replayed beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from spillover.prompts.encoding import Encoder
from spillover.steps.prepare import Prepare
from spillover.steps.step import Step
from spillover.tasks.mixture import Mixture
from spillover.tasks.prepare import PreparedTask, Protocol
from spillover.training.optimization import TrainingSettings
from spillover.training.settings import Demonstrations

Sources = Callable[[Prepare], PreparedTask]
"""Reads the rows of a task."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of a training and the steps that they are made of."""

    data: Prepare
    template: str
    """Text of the prompt form."""
    size: int
    """Rows of the task."""
    seed: int
    """Of the choice of rows, and of the training."""
    protocol: Protocol
    replayed: tuple[tuple[Prepare, str], ...] = ()
    """The tasks that the recipe replays, each with the text of its prompt."""
    mixture: Mixture | None = None
    """How ``added`` is mixed with the task; None trains on the task alone."""
    added: tuple[tuple[Prepare, str], ...] = ()
    """The other tasks of the mixture, in its order, each with the text of its prompt."""
    if_fewer: str = ""
    """What to do where an added task has fewer rows than its cap, which is refused then; empty takes what there is. Not
    part of the key."""

    def fields(self) -> Mapping[str, Any]:
        """Return the part of the training's key that is of its rows."""
        mixed = {
            "mixture": self.mixture.identity() if self.mixture else None,
            "added_templates": [template for _, template in self.added],
        }
        return {
            "template": self.template,
            "size": self.size,
            "seed": self.seed,
            "protocol": self.protocol,
            **({"replayed_templates": [template for _, template in self.replayed]} if self.replayed else {}),
            **(mixed if self.mixture else {}),
        }

    def inputs(self) -> Mapping[str, Step]:
        """Return the steps that the rows are made of."""
        parts = (("replayed", self.replayed), ("added", self.added))
        others = {f"{name} {index}": data for name, found in parts for index, (data, _) in enumerate(found)}
        return {"data": self.data, **others}


@dataclass(frozen=True)
class Encoding:
    """How a variant's rows become token ids."""

    variant: str
    """Its name, for errors."""
    shown: Demonstrations
    settings: TrainingSettings
    encoder: Encoder
    context_length: int
