"""The command `plan`: what a study will do, what that takes, and what it can show, as tables or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spillover.progress import duration
from spillover.study.calibration import Cost, calibrate
from spillover.study.plan import Detectable, detectable_differences, expected_cost, suggestions
from spillover.study.runner import disk_bytes, missing_steps
from spillover.study.store import Store
from spillover.study.work import Workshop

if TYPE_CHECKING:
    from spillover.study.step import Step
    from spillover.study.study import Study


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
    detectable: tuple[Detectable, ...]
    suggestions: tuple[str, ...]


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
        rows,
        suggestions(study, rows, workshop),
    )


def print_plan(out: Console, plan: Plan) -> None:
    """Print the plan for people."""
    table = Table("step", "key", "state")
    for step in plan.steps:
        table.add_row(Text(step.label), step.key[:12], "to do" if step.key in plan.missing else "done")
    out.print(table)
    for sentence in plan.skipped:
        out.print(f"skipped: {sentence}", markup=False)
    table = Table("variant", "relation", "cells", "items", "smallest detectable difference", "items vary as")
    for row in plan.detectable:
        source = "the base's" if row.is_measured else "assumed"
        shown = (row.relation.value, str(row.cell_count), str(row.item_count), f"{row.difference:.3f}", source)
        table.add_row(Text(row.variant), *shown)
    out.print(table)
    out.print("A true difference of that size is found with 80 % power at 5 %, before any adjustment.", highlight=False)
    for sentence in plan.suggestions:
        out.print(f"suggestion: {sentence}", markup=False, highlight=False)
    if plan.costs:
        table = Table("kind", "to do", "about", "processor time")
        for kind, cost in plan.costs.items():
            count = sum(step.kind == kind and step.key in plan.missing for step in plan.steps)
            table.add_row(kind, str(count), duration(cost.wall_seconds), duration(cost.cpu_seconds))
        total = sum(plan.costs.values(), Cost())
        table.add_row("all", str(len(plan.missing)), duration(total.wall_seconds), duration(total.cpu_seconds))
        out.print(table)
    left, needed = len(plan.missing), plan.disk_bytes / 1e9
    out.print(f"{left} of {len(plan.steps)} steps to do, about {needed:.1f} GB of disk", highlight=False)


def print_json(out: Console, plan: Plan) -> None:
    """Print the plan for programs, under stable keys."""
    made = {
        "steps": [
            {"kind": step.kind, "label": step.label, "key": step.key, "done": step.key not in plan.missing}
            for step in plan.steps
        ],
        "skipped": list(plan.skipped),
        "disk_bytes": plan.disk_bytes,
        "costs": None if plan.costs is None else {kind: asdict(cost) for kind, cost in plan.costs.items()},
        "detectable": [asdict(row) for row in plan.detectable],
        "suggestions": list(plan.suggestions),
    }
    out.print(json.dumps(made, indent=2, ensure_ascii=False), markup=False, highlight=False, soft_wrap=True)
