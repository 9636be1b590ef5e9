"""The command `plan`: what a study will do, what that takes, and what it can show, as tables or as JSON."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from spillover.commands.terminal import terminal
from spillover.lint.reach import Reach, margin_reach
from spillover.progress import duration
from spillover.steps.speed import Cost
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.machine_speed import Calibration, Machine
from spillover.study.plan import Detectable, detectable_differences, expected_cost, planned_work, suggestions
from spillover.study.runner import disk_bytes, memory_bytes, missing_steps

if TYPE_CHECKING:
    from spillover.steps.step import Step
    from spillover.study.study import Study


BUSY = 1.25
"""Wall time over processor time from which on a processor was shared; alone it is at most 1, and less with threads."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the command says."""

    steps: tuple[Step, ...]
    missing: frozenset[str]
    """Keys of the steps that are to do."""
    skipped: tuple[str, ...]
    disk_bytes: int
    memory_bytes: int
    """The most that a missing step holds in weights, gradients and moments, where it is computed."""
    costs: Mapping[str, Cost] | None
    """Kind of step to what the missing ones take; None where nothing was measured."""
    calibration: Calibration | None
    """What they were measured by."""
    detectable: tuple[Detectable, ...]
    suggestions: tuple[str, ...]
    reach: Reach

    @property
    def total(self) -> Cost:
        """What all missing steps take."""
        return sum((self.costs or {}).values(), Cost())

    @property
    def is_busy(self) -> bool:
        """Whether other programs kept the processor while it was measured, so that wall time says more of them."""
        device = self.calibration.device if self.calibration else None
        return device == "cpu" and self.total.wall_seconds > BUSY * self.total.cpu_seconds


def made_plan(
    study: Study, store: Store, *, machine: Machine | None, anew: bool = False, notice: Callable[[str], None]
) -> Plan:
    """Plan a study.

    Args:
        machine: Where it would run; None tells no time.
        anew: Whether to measure that again although it is known.

    Raises:
        UserError: If rows, sizes or prompts cannot serve a step.
    """
    missing = missing_steps(study, store)
    workshop = Workshop(store, notice=notice)
    work = planned_work(missing, workshop)
    costs: Mapping[str, Cost] | None = {} if machine else None
    calibration = None
    if machine and missing:
        calibration = machine.calibration(study.base, study.precision, cache=study.cache, anew=anew, notice=notice)
        costs = expected_cost(missing, work, workshop, calibration.speed)
    rows = detectable_differences(study, store, workshop)
    return Plan(
        study.steps,
        frozenset(step.key for step in missing),
        study.skipped,
        disk_bytes(study, missing),
        memory_bytes(study, missing),
        costs,
        calibration,
        rows,
        suggestions(rows),
        margin_reach(study, workshop),
    )


def print_plan(plan: Plan, *, with_steps: bool = False) -> None:
    """Print the plan for people: what it takes, what it can show, and every step only where asked for."""
    terminal.say(summary(plan))
    if plan.costs:
        _print_costs(plan)
    detectable = [
        (
            *(row.variant, row.relation, str(row.cell_count), str(row.item_count), f"{row.difference:.3f}"),
            "the base's" if row.is_measured else "assumed",
        )
        for row in plan.detectable
    ]
    terminal.table(("variant", "relation", "cells", "items", "smallest detectable", "items vary as"), detectable)
    terminal.say("A true difference of that size is found with 80 % power at 5 %, before any adjustment.")
    if plan.reach.tasks:
        terminal.say(f"margin {plan.reach.margin:g}: {plan.reach.sentence}; {plan.reach.usual}")
    for sentence in plan.suggestions:
        terminal.say(f"suggestion: {sentence}")
    for sentence in plan.skipped:
        terminal.say(f"skipped: {sentence}")
    if with_steps:
        steps = [(step.label, step.key[:12], "to do" if step.key in plan.missing else "done") for step in plan.steps]
        terminal.table(("step", "key", "state"), steps)
    else:
        terminal.say("--steps lists every step")


def summary(plan: Plan) -> str:
    """Return how much is to do and what it takes, in one line."""
    takes = [f"about {duration(plan.total.cpu_seconds)} of processor time"] if plan.costs else []
    takes.append(f"about {plan.disk_bytes / 1e9:.1f} GB of disk")
    takes.append(f"{plan.memory_bytes / 1e9:.1f} GB of memory for weights, gradients and moments, activations on top")
    return f"{len(plan.missing)} of {len(plan.steps)} steps to do, {', '.join(takes)}"


def _print_costs(plan: Plan) -> None:
    """Print what each kind of step takes, and whether the machine was busy when that was measured."""
    assert plan.costs is not None
    costs = [
        (
            *(kind, str(sum(step.kind == kind and step.key in plan.missing for step in plan.steps))),
            *(duration(cost.cpu_seconds), duration(cost.wall_seconds)),
        )
        for kind, cost in plan.costs.items()
    ]
    total, known = plan.total, plan.calibration
    costs.append(("all", str(len(plan.missing)), duration(total.cpu_seconds), duration(total.wall_seconds)))
    is_new = known is None or known.is_new
    terminal.table(("kind", "to do", "processor time", f"at the {'present load' if is_new else 'load then'}"), costs)
    if known and not is_new:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(known.seconds))
        terminal.say(f"By what was measured on this machine at {day}; --calibration measures it again.")
    if plan.is_busy:
        times = total.wall_seconds / total.cpu_seconds
        kept, takes = ("keep", "takes") if is_new else ("kept", "took")
        terminal.say(
            f"Other programs {kept} this machine busy: work {takes} {times:.1f} times its processor time "
            f"{'now' if is_new else 'then'}. With the machine to itself it takes about its processor time, or less on "
            "several threads."
        )


def plain_plan(plan: Plan) -> dict[str, object]:
    """Return the plan for programs, under stable keys."""
    return {
        "steps": [
            {"kind": step.kind, "label": step.label, "key": step.key, "done": step.key not in plan.missing}
            for step in plan.steps
        ],
        "skipped": list(plan.skipped),
        "disk_bytes": plan.disk_bytes,
        "memory_bytes": plan.memory_bytes,
        "costs": None if plan.costs is None else {kind: asdict(cost) for kind, cost in plan.costs.items()},
        "measured_seconds": plan.calibration.seconds if plan.calibration else None,
        "machine_is_busy": plan.is_busy,
        "detectable": [asdict(row) for row in plan.detectable],
        "suggestions": list(plan.suggestions),
        "limits": plan.reach.plain(),
    }
