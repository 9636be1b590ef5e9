"""Entries of each tensor that keep the base's value: the constraint behind the magnitude and the random mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from spillover.training.constraints.constraint import Constraint, Report, Training, refuse_shards

if TYPE_CHECKING:
    from torch import Tensor, nn

Choose = Callable[[str, "Tensor", int], "Tensor"]
"""Name of a tensor, its values and how many entries are frozen, to a mask that is true on the frozen ones."""


class FrozenEntries(Constraint):
    """After each step the frozen entries get the base's values back, bit by bit.

    Args:
        kind: The recipe's word, for messages.
        share: Of each tensor's entries, rounded down.
        choose: Picks them.
    """

    def __init__(self, kind: str, share: float, choose: Choose) -> None:
        self._kind = kind
        self._share = share
        self._choose = choose
        self._weights: dict[str, nn.Parameter] = {}
        self.frozen: dict[str, Tensor] = {}
        self._values: dict[str, Tensor] = {}

    def begin(self, training: Training) -> None:
        refuse_shards(training, self._kind)
        self._weights = dict(training.weights)
        for name, weight in self._weights.items():
            values = weight.detach()
            self.frozen[name] = self._choose(name, values, int(self._share * values.numel()))
            self._values[name] = values[self.frozen[name]]

    def after_step(self, step: int) -> bool:
        for name, weight in self._weights.items():
            weight.data.masked_scatter_(self.frozen[name], self._values[name])
        return True

    def report(self) -> Report:
        return {"touched_count": sum(int((~mask).sum()) for mask in self.frozen.values())}
