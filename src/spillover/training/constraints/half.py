"""Half fine-tuning: in each round a random half of every layer's matrices is frozen (HFT; sheet spider, 5)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from spillover.training.constraints.constraint import Constraint, ConstraintSettings, Material, Report, Training
from spillover.training.parameters.selection import LAYER

if TYPE_CHECKING:
    from torch import nn

_ATTENTION = re.compile("attn|attention")


class HalfFineTuning(ConstraintSettings):
    """Freeze half of each layer's attention matrices and half of its feed-forward matrices, drawn anew each round.

    Of an odd number of matrices the smaller half is frozen in even layers, the larger in odd ones. Embeddings, norms
    and biases are always trained.
    """

    masks_weights: ClassVar[bool] = True
    kind: Literal["half"] = "half"
    rounds: int = Field(default=1, ge=1)
    """Draws in the whole run, at equal distances."""
    seed: int = 0
    """Which halves."""

    def build(self, material: Material) -> Constraint:
        return HalfConstraint(self)


class HalfConstraint(Constraint):
    """Frozen matrices take no gradient, so the optimizer leaves them and their moments alone."""

    def __init__(self, settings: HalfFineTuning) -> None:
        self._settings = settings
        self._weights: dict[str, nn.Parameter] = {}
        self._groups: list[tuple[int, list[str]]] = []
        self._step_count = 0
        self._last_step = 0

    def begin(self, training: Training) -> None:
        self._weights = dict(training.weights)
        self._step_count = training.step_count
        groups: dict[tuple[int, bool], list[str]] = {}
        for name, weight in self._weights.items():
            layer = LAYER.search(name)
            if layer and weight.dim() == 2:
                groups.setdefault((int(layer[1]), bool(_ATTENTION.search(name))), []).append(name)
        self._groups = [(layer, sorted(names)) for (layer, _), names in sorted(groups.items())]

    def before_step(self, step: int) -> None:
        now = self.frozen(step)
        for name, weight in self._weights.items():
            weight.requires_grad_(name not in now)
        self._last_step = step

    def frozen(self, step: int) -> set[str]:
        """Return the names of the matrices that a step leaves as they are."""
        import torch

        from spillover.training.seeds import generator

        this_round = step * self._settings.rounds // self._step_count
        chosen: set[str] = set()
        for layer, names in self._groups:
            order = torch.randperm(len(names), generator=generator(self._settings.seed, f"{this_round}/{names[0]}"))
            chosen.update(names[int(index)] for index in order[: (len(names) + layer % 2) // 2])
        return chosen

    def end(self) -> None:
        for weight in self._weights.values():
            weight.requires_grad_(True)

    def report(self) -> Report:
        always_frozen = set.intersection(*map(self.frozen, range(self._last_step + 1)))
        touched = self._weights.keys() - always_frozen
        return {"touched_count": sum(self._weights[name].numel() for name in touched)}
