"""How a tested task relates to the task a model was trained on."""

from dataclasses import dataclass
from typing import Protocol

from spillover.records import Relation


class Placed(Protocol):
    """Anything with a family and, within it, a domain."""

    @property
    def family(self) -> str:
        """Tasks of one family ask for the same."""

    @property
    def domain(self) -> str:
        """Where the data come from."""


class TrainedOn(Placed, Protocol):
    """What is known of the data a variant was trained on; a task knows all of it."""

    @property
    def name(self) -> str:
        """What a variant's id says it was trained on."""

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


def relation(trained_on: Placed | None, tested_on: Placed) -> Relation:
    """Compare families first, then domains; a domain's name means something only within its family.

    Nothing is guessed where it is not known what a variant was trained on (None).
    """
    if trained_on is None:
        return Relation.UNSTATED
    if trained_on.family != tested_on.family:
        return Relation.CROSS_TASK
    return Relation.IN_DOMAIN if trained_on.domain == tested_on.domain else Relation.OUT_OF_DOMAIN
