"""How a tested task relates to the task a model was trained on."""

from spillover.records import Relation
from spillover.tasks.task import Task


def relation(trained_on: Task, tested_on: Task) -> Relation:
    """Compare families first, then domains; a domain's name means something only within its family."""
    if trained_on.family != tested_on.family:
        return Relation.CROSS_TASK
    return Relation.IN_DOMAIN if trained_on.domain == tested_on.domain else Relation.OUT_OF_DOMAIN
