"""A tested task with its cells, as a study knows it wherever the task comes from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from spillover.models.precision import Precision
from spillover.models.spec import ResolvedModel
from spillover.records import Cell
from spillover.steps.cell_steps import ScoreCell
from spillover.steps.variant import Variant
from spillover.steps.workshop import Workshop
from spillover.tasks.relation import Placed

CHECKED_COUNT = 4
"""Items of a cell that are also computed in exact arithmetic, at a task's largest shot count only: a handful is enough
to find a fault, and the exact path runs the whole prompt for every item."""


@dataclass(frozen=True, slots=True)
class AskedModel:
    """Who is asked."""

    base: ResolvedModel
    variant: Variant | None
    """None asks the base itself."""
    precision: Precision
    trained_answers: tuple[str, ...]
    """Label words of what it was trained on; of the base, those of all variants."""
    asks: tuple[str, ...] = ()
    """By which asks it is asked beside the primary one."""
    classifiers: Mapping[str, Variant] = field(default_factory=dict)
    """Variants by the names under which asks read their verdicts."""

    def checked_count(self, cell: Cell, cells: Sequence[Cell]) -> int:
        """Return how many items of one of a task's cells are also computed exactly.

        In float32, where only a fault differs, it is the base's alone.
        """
        is_checked = self.precision != "float32" or self.variant is None
        return CHECKED_COUNT if is_checked and cell.shots == max(other.shots for other in cells) else 0


class Named(Placed, Protocol):
    """A task of any kind."""

    @property
    def name(self) -> str:
        """By which a study tests on it."""


@dataclass(frozen=True, kw_only=True)
class AskedTask(ABC):
    """A tested task and the cells in which every model is asked it; what asks and scores are steps of its own kind."""

    task: Named
    limit: int
    """Items that are asked at the most, the first ones."""

    @property
    def name(self) -> str:
        """Of the task."""
        return self.task.name

    @property
    def family(self) -> str:
        """Of the task."""
        return self.task.family

    @property
    def domain(self) -> str:
        """Of the task."""
        return self.task.domain

    @property
    def entry(self) -> object:
        """The task in a study file, as plain data."""
        return self.name

    @property
    def answers(self) -> tuple[str, ...]:
        """The answer set that holds for every item; empty where there is none."""
        return ()

    @property
    @abstractmethod
    def may_enter_means(self) -> bool:
        """Whether it can have a share that is better when higher for its primary metric, as verdicts rest on."""

    @abstractmethod
    def scores(self, model: AskedModel) -> Sequence[ScoreCell]:
        """Return the steps that score a model in every cell of the primary ask, in order."""

    def asked_otherwise(self, model: AskedModel) -> Sequence[ScoreCell]:
        """Return the steps that score a model in cells that are asked otherwise, where a source has any."""
        return ()

    @abstractmethod
    def unit_count(self, workshop: Workshop) -> int:
        """Return how many independent items are asked; those that share a source are one."""

    @abstractmethod
    def limit_for(self, unit_count: int, workshop: Workshop) -> int | None:
        """Return the limit that would ask so many independent items, more than now; None where there are too few."""
