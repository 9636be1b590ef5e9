"""How a tested task relates to the task a model was trained on."""

from typing import Protocol

from spillover.records import Relation


class Placed(Protocol):
    """Anything with a family and, within it, a domain."""

    @property
    def family(self) -> str:
        """Tasks of one family ask for the same."""

    @property
    def domain(self) -> str:
        """Where the data is from."""


def relation(trained_on: Placed, tested_on: Placed) -> Relation:
    """Compare families first, then domains; a domain's name means something only within its family."""
    if trained_on.family != tested_on.family:
        return Relation.CROSS_TASK
    return Relation.IN_DOMAIN if trained_on.domain == tested_on.domain else Relation.OUT_OF_DOMAIN
