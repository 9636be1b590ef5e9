"""How a tested task relates to the task a model was trained on."""

from dataclasses import dataclass
from typing import Protocol

from spillover.records import Relation
from spillover.tasks.task import Task


class TrainedOn(Protocol):
    """What is known of the data a variant was trained on; a task knows all of it."""

    @property
    def name(self) -> str:
        """What a variant's id says it was trained on."""

    @property
    def family(self) -> str:
        """Of tasks that ask the same of other data."""

    @property
    def domain(self) -> str:
        """Where the data come from."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The answer set; empty for free text."""


@dataclass(frozen=True, slots=True)
class DataOfFamily:
    """Data of a task family that are none of the suite's: out of the domain of every task there."""

    family: str
    answers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What a variant's id says it was trained on."""
        return self.family

    @property
    def domain(self) -> str:
        """One that no task has."""
        return ""


def relation(trained_on: TrainedOn | None, tested_on: Task) -> Relation:
    """Compare families first, then domains; a domain's name means something only within its family.

    Nothing is guessed where it is not known what a variant was trained on (None).
    """
    if trained_on is None:
        return Relation.UNSTATED
    if trained_on.family != tested_on.family:
        return Relation.CROSS_TASK
    return Relation.IN_DOMAIN if trained_on.domain == tested_on.domain else Relation.OUT_OF_DOMAIN
