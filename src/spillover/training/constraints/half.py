"""Half fine-tuning: a random half of every layer's matrices is frozen, drawn once or anew (HFT; sheet spider, 5)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from spillover.training.constraints.constraint import Constraint, ConstraintSettings, Material, Report, Training
from spillover.training.parameters.selection import LAYER

if TYPE_CHECKING:
    from torch import nn

_ATTENTION = re.compile("attn|attention")


class HalfFineTuning(ConstraintSettings):
    """Freeze half of each layer's attention matrices and half of its feed-forward matrices while the rest is trained.

    By default they are drawn once and stay frozen for the whole run, so that half of the matrices are the base's in
    the end. The method redraws each round, which ``rounds`` or ``redraw_every`` do. What was trained before a draw is
    kept; frozen matrices stay as they are at the draw, and their moments with them. Of an odd number of matrices the
    smaller half is frozen in even layers, the larger in odd ones. Embeddings, norms and biases are always trained.
    """

    added_later: ClassVar[frozenset[str]] = frozenset({"redraw_every"})
    masks_weights: ClassVar[bool] = True
    kind: Literal["half"] = "half"
    rounds: int = Field(default=1, ge=1)
    """Draws in the whole run, at equal distances; 1 draws once."""
    seed: int = 0
    """Which halves."""
    redraw_every: Annotated[int, Field(ge=1)] | Literal["epoch"] | None = None
    """Optimizer steps from one draw to the next, or ``epoch`` for a draw a pass, in place of ``rounds``; absent, as
    ``rounds`` says."""

    @field_validator("redraw_every", mode="before")
    @classmethod
    def _steps_or_epoch(cls, value: object) -> object:
        if value is None or value == "epoch" or (type(value) is int and value > 0):
            return value
        raise ValueError(f"{value!r} is neither a number of optimizer steps from 1 on nor 'epoch'; name one of them")

    @model_validator(mode="after")
    def _says_once_when(self) -> Self:
        if self.redraw_every is not None and self.rounds > 1:
            raise ValueError("rounds and redraw_every both say when halves are drawn anew; remove one of them")
        return self

    def build(self, material: Material) -> Constraint:
        return HalfConstraint(self)


class HalfConstraint(Constraint):
    """Frozen matrices take no gradient, so the optimizer leaves them and their moments alone."""

    def __init__(self, settings: HalfFineTuning) -> None:
        self._settings = settings
        self._weights: dict[str, nn.Parameter] = {}
        self._groups: list[tuple[int, list[str]]] = []
        self._training_steps = (0, 0)
        """Of the whole run, and of a pass."""
        self._drawn: tuple[int, set[str]] | None = None
        """The round that is going on, and what it freezes."""
        self._last_step = 0

    def begin(self, training: Training) -> None:
        self._weights = dict(training.weights)
        self._training_steps, self._drawn = (training.step_count, training.epoch_step_count), None
        groups: dict[tuple[int, bool], list[str]] = {}
        for name, weight in self._weights.items():
            layer = LAYER.search(name)
            if layer and weight.dim() == 2:
                groups.setdefault((int(layer[1]), bool(_ATTENTION.search(name))), []).append(name)
        self._groups = [(layer, sorted(names)) for (layer, _), names in sorted(groups.items())]

    def before_step(self, step: int) -> None:
        self._last_step = step
        this_round = self._round(step)
        if self._drawn and self._drawn[0] == this_round:
            return
        self._drawn = this_round, self._draw(this_round)
        for name, weight in self._weights.items():
            weight.requires_grad_(name not in self._drawn[1])

    def frozen(self, step: int) -> set[str]:
        """Return the names of the matrices that a step leaves as they are."""
        return self._draw(self._round(step))

    def _round(self, step: int) -> int:
        every, (step_count, epoch_step_count) = self._settings.redraw_every, self._training_steps
        if every is None:
            return step * self._settings.rounds // step_count
        return step // (epoch_step_count if every == "epoch" else every)

    def _draw(self, this_round: int) -> set[str]:
        """Return what a round freezes: a pure function of the seed, so that a resumed run draws the same."""
        import torch

        from spillover.training.seeds import generator

        chosen: set[str] = set()
        for layer, names in self._groups:
            order = torch.randperm(len(names), generator=generator(self._settings.seed, f"{this_round}/{names[0]}"))
            chosen.update(names[int(index)] for index in order[: (len(names) + layer % 2) // 2])
        return chosen

    def end(self) -> None:
        for weight in self._weights.values():
            weight.requires_grad_(True)

    def report(self) -> Report:
        rounds = range(self._round(self._last_step) + 1)
        touched = self._weights.keys() - set.intersection(*map(self._draw, rounds))
        return {"touched_count": sum(self._weights[name].numel() for name in touched), "draw_count": len(rounds)}
