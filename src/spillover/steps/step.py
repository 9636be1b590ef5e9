"""A unit of work as frozen data: what it depends on, how it is computed, and what it takes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from spillover.steps.speed import Cost, Speed
from spillover.steps.workshop import Workshop
from spillover.store.identity import digest


def _silent(_: object) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told how a step goes on."""

    advance: Callable[[float], None] = _silent
    """Called with the share of the step that is done, 0..1."""
    tell: Callable[[str], None] = _silent
    """Called with what is worth knowing of the step while it runs."""


class Step(ABC):
    """A unit of work with a content key.

    The key covers the kind, its version, every field that can change a number and the keys of the inputs. Raise
    ``version`` when the computation itself changes.
    """

    kind: ClassVar[str]
    version: ClassVar[int]

    @property
    @abstractmethod
    def label(self) -> str:
        """What the step is, for people; never part of its key."""

    @abstractmethod
    def fields(self) -> Mapping[str, Any]:
        """Return everything of the step itself that can change a number, as plain data."""

    def inputs(self) -> Mapping[str, Step]:
        """Return the steps whose results this one reads."""
        return {}

    @abstractmethod
    def compute(self, folder: Path, workshop: Workshop, told: Told) -> Mapping[str, Any] | None:
        """Write the step's files into ``folder``; its inputs are finished.

        Returns:
            What belongs to its provenance, as times do: its files are the same whenever and wherever it is computed.
        """

    @abstractmethod
    def work(self, workshop: Workshop) -> float:
        """Return the step's work in tokens of forward passes, after checking that its data can serve it.

        Raises:
            UserError: If they cannot.
        """

    @abstractmethod
    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        """Return what the step takes on a machine, about.

        Args:
            work: What `work` returned.
            workshop: Holds the rows and token ids that were read for it.
            speed: Of the machine.
        """

    @abstractmethod
    def outside_fault(self, cache: Path) -> str | None:
        """Return what of the files outside the store that the step reads is no longer what its key is of, in words.

        Args:
            cache: Where fingerprints are remembered.
        """

    def weight_count(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Return how many weights the step writes, in float32, given the shapes of its base's tensors."""
        return 0

    def memory_bytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Return about how many bytes of weights, gradients and moments the step holds at once, given the shapes of its
        base's tensors; activations come on top.
        """
        return 0

    @cached_property
    def key(self) -> str:
        """The step's identity."""
        inputs = {name: step.key for name, step in self.inputs().items()}
        content = {"kind": self.kind, "version": self.version, "fields": self.fields(), "inputs": inputs}
        return digest(content)


def weights_in(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return how many weights tensors of such shapes hold."""
    return sum(math.prod(shape) for shape in shapes.values())


def with_inputs(steps: Iterable[Step]) -> list[Step]:
    """Return the steps and everything they need, inputs first, each key once."""
    ordered: dict[str, Step] = {}

    def visit(step: Step) -> Iterator[Step]:
        for needed in step.inputs().values():
            yield from visit(needed)
        yield step

    for step in steps:
        for needed in visit(step):
            ordered.setdefault(needed.key, needed)
    return list(ordered.values())
