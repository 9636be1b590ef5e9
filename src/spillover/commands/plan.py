"""The command `plan`: what a study will do, what that takes, and what it can show, as tables or as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from spillover.commands.terminal import terminal
from spillover.progress import duration
from spillover.steps.speed import Cost
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.machine_speed import calibrate
from spillover.study.plan import Detectable, detectable_differences, expected_cost, suggestions
from spillover.study.reach import Reach, margin_reach
from spillover.study.runner import disk_bytes, missing_steps

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
    costs: Mapping[str, Cost] | None
    """Kind of step to what the missing ones take; None where nothing was measured."""
    device: str | None
    """Where that was measured."""
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
        return self.device == "cpu" and self.total.wall_seconds > BUSY * self.total.cpu_seconds


def made_plan(study: Study, store: Store, *, device: str | None, notice: Callable[[str], None]) -> Plan:
    """Plan a study; ``device`` is where the base is measured, None measures nothing."""
    missing = missing_steps(study, store)
    workshop = Workshop(store, notice=notice)
    costs: Mapping[str, Cost] | None = None
    if device is not None:
        costs = {}
        if missing:
            notice("measuring this machine for a few seconds; --no-calibration skips it")
            speed = calibrate(study.base, precision=study.precision, device=device)
            costs = expected_cost(missing, workshop, speed)
    rows = detectable_differences(study, store, workshop)
    return Plan(
        study.steps,
        frozenset(step.key for step in missing),
        study.skipped,
        disk_bytes(study, missing),
        costs,
        device,
        rows,
        suggestions(study, rows, workshop),
        margin_reach(study, workshop),
    )


def print_plan(plan: Plan) -> None:
    """Print the plan for people."""
    steps = [(step.label, step.key[:12], "to do" if step.key in plan.missing else "done") for step in plan.steps]
    terminal.table(("step", "key", "state"), steps)
    for sentence in plan.skipped:
        terminal.say(f"skipped: {sentence}")
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
    if plan.costs:
        costs = [
            (
                *(kind, str(sum(step.kind == kind and step.key in plan.missing for step in plan.steps))),
                *(duration(cost.cpu_seconds), duration(cost.wall_seconds)),
            )
            for kind, cost in plan.costs.items()
        ]
        total = plan.total
        costs.append(("all", str(len(plan.missing)), duration(total.cpu_seconds), duration(total.wall_seconds)))
        terminal.table(("kind", "to do", "processor time", "at the present load"), costs)
        if plan.is_busy:
            times = total.wall_seconds / total.cpu_seconds
            terminal.say(
                f"Other programs keep this machine busy: work takes {times:.1f} times its processor time now. With the "
                "machine to itself it takes about its processor time, or less on several threads."
            )
    left, needed = len(plan.missing), plan.disk_bytes / 1e9
    terminal.say(f"{left} of {len(plan.steps)} steps to do, about {needed:.1f} GB of disk")


def plain_plan(plan: Plan) -> dict[str, object]:
    """Return the plan for programs, under stable keys."""
    return {
        "steps": [
            {"kind": step.kind, "label": step.label, "key": step.key, "done": step.key not in plan.missing}
            for step in plan.steps
        ],
        "skipped": list(plan.skipped),
        "disk_bytes": plan.disk_bytes,
        "costs": None if plan.costs is None else {kind: asdict(cost) for kind, cost in plan.costs.items()},
        "machine_is_busy": plan.is_busy,
        "detectable": [asdict(row) for row in plan.detectable],
        "suggestions": list(plan.suggestions),
        "limits": plan.reach.plain(),
    }
