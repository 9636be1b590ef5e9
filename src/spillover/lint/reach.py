"""Which tested tasks have enough independent items to ever show that nothing was lost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from spillover.statistics.power import (
    CHANGED,
    WANTED,
    TaskLimit,
    fewest_items,
    items_to_show,
    limits,
    smallest_margin,
)
from spillover.steps.workshop import Workshop
from spillover.study.plan import COARSE
from spillover.study.study import Study

NAMED_COUNT = 6
"""Tasks with the same number of items that are named; of more, one fewer and how many the rest are."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a study's margin takes, and which of its tested tasks have that."""

    margin: float
    tasks: tuple[TaskLimit, ...]
    """Those whose primary metric is a share that is better when higher."""
    test_limits: Mapping[str, int]
    """Task with too few items to the `test_limit` that would do; those are absent whose rows are too few in all."""

    @property
    def short(self) -> tuple[TaskLimit, ...]:
        """The tasks that can never show that less than the margin was lost."""
        return tuple(task for task in self.tasks if not task.can_show)

    @property
    def sentence(self) -> str:
        """Which tasks are too small, or that none is."""
        fewest = fewest_items(self.margin)
        if not self.short:
            return f"every tested task has the {fewest:,} independent items that showing it takes at least"
        wider = f"; margin {WANTED:g} takes {fewest_items(WANTED):,}" if self.margin < WANTED else ""
        return (
            f"{_counted(self.short)} can never show that less than {self.margin:g} was lost: {fewest:,} could, if "
            f"nothing changed{wider}"
        )

    @property
    def usual(self) -> str:
        """What it takes where answers change as much as is assumed of a design."""
        return (
            f"where {100 * CHANGED:g} % of the answers change and nothing is lost, it takes about "
            f"{items_to_show(self.margin):,}, of one task or of a relation's tasks together"
        )

    @property
    def mend(self) -> str:
        """What would let every task show it."""
        lacking = [task.name for task in self.short if task.name not in self.test_limits]
        ways = []
        if self.test_limits:
            names = f" ({_named(list(self.test_limits))})" if lacking else ""
            ways.append(f"raise test_limit to {max(self.test_limits.values())}{names}")
        if lacking:
            ways.append(f"test on more tasks of the kind of {_named(lacking)}, whose rows are too few in all")
        # In thousandths, rounded up, or the margin would be just out of reach.
        margin = math.ceil(1000 * smallest_margin(min(task.unit_count for task in self.short))) / 1000
        if margin <= COARSE:
            ways.append(f"or widen margin to {margin:g} at least")
        return "; ".join(ways)

    def plain(self) -> dict[str, object]:
        """Return it for programs."""
        return {
            "margin": self.margin,
            "fewest_items": fewest_items(self.margin),
            "items_to_show": items_to_show(self.margin),
            "changed": CHANGED,
            "tasks": [{**asdict(task), "test_limit_needed": self.test_limits.get(task.name)} for task in self.tasks],
        }


def margin_reach(study: Study, workshop: Workshop) -> Reach:
    """Return what the tested tasks can show; items that share a source count once."""
    fewest = fewest_items(study.margin)
    tasks = [task for task in study.test_on if task.may_enter_means]
    counts = {task.name: task.unit_count(workshop) for task in tasks}
    short = [task for task in tasks if counts[task.name] < fewest]
    enough = {task.name: limit for task in short if (limit := task.limit_for(fewest, workshop)) is not None}
    return Reach(study.margin, limits(counts, study.margin), enough)


def _counted(tasks: Sequence[TaskLimit]) -> str:
    """Return the tasks with their items, those of equally many together, the fewest first."""
    names: dict[int, list[str]] = {}
    for task in sorted(tasks, key=lambda task: task.unit_count):
        names.setdefault(task.unit_count, []).append(task.name)
    first, *others = ((_named(own), f"{count:,}") for count, own in names.items())
    words = [f"{first[0]} ({first[1]} independent items)", *(f"{own} ({count})" for own, count in others)]
    return ", ".join(words)


def _named(names: Sequence[str]) -> str:
    """Return names, of many only the first."""
    if len(names) <= NAMED_COUNT:
        return ", ".join(names)
    return f"{', '.join(names[: NAMED_COUNT - 1])} and {len(names) - NAMED_COUNT + 1} more"
