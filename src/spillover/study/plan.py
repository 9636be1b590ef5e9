"""What a study will cost and what it can show, before it runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spillover.records import Relation
from spillover.sources.suites import SuiteTask
from spillover.statistics.power import (
    ANSWER_DEVIATION,
    OVERLAP_DEVIATION,
    WANTED,
    AskedItems,
    detectable_difference,
    items_factor,
    macro_factor,
)
from spillover.statistics.resampled import MINIMUM_UNIT_COUNT
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.study import Study
from spillover.tasks.relation import relation

COARSE = 2 * WANTED
"""A design that cannot show a difference of this size is warned of, and no wider margin proposed; 10 points are a loss
that one would not ship."""
NO_INTERVAL = f"a task has fewer than {MINIMUM_UNIT_COUNT} rows, or sources of rows, and so no interval; test on more"


@dataclass(frozen=True, slots=True)
class Detectable:
    """The smallest mean difference of a variant to the base that a relation can show."""

    variant: str
    relation: Relation
    cell_count: int
    item_count: int
    """Distinct rows of all tasks together."""
    fewest_units: int
    """Independent rows, or sources of rows, of the task that has fewest."""
    difference: float
    """Found with power 0.8 at 5 %, two-sided."""
    is_measured: bool
    """Whether the items' deviation is that of the base's stored scores, and not an assumed one, in every task."""
    rows_needed: int | None
    """Test rows a task that would show `WANTED`; None where it is shown already."""
    mend: str = ""
    """What would show it; empty where it is shown already."""

    @property
    def has_interval(self) -> bool:
        """Whether every task has enough independent rows for the report to give an interval."""
        return self.fewest_units >= MINIMUM_UNIT_COUNT


@dataclass(frozen=True, slots=True)
class _TestedTask:
    task: SuiteTask
    items: AskedItems
    is_measured: bool


def planned_work(missing: Sequence[Step], workshop: Workshop) -> Mapping[str, float]:
    """Return the work of every missing step by its key.

    Raises:
        UserError: If rows, sizes or prompts cannot serve one: `run` would stop there, too.
    """
    return {step.key: step.work(workshop) for step in missing}


def expected_cost(
    missing: Sequence[Step], work: Mapping[str, float], workshop: Workshop, speed: Speed
) -> Mapping[str, Cost]:
    """Return what the missing steps will take, by kind of step, about.

    A constraint that asks the base along, and a processor that is busy otherwise, make it more.
    """
    costs: dict[str, Cost] = {}
    for step in missing:
        cost = step.cost(work[step.key], workshop, speed)
        costs[step.kind] = costs.get(step.kind, Cost()) + cost
    return costs


def detectable_differences(study: Study, store: Store, workshop: Workshop) -> tuple[Detectable, ...]:
    """Return one row per variant and relation, over tasks whose primary metric is a share that is better when higher.

    Items vary as the base's stored scores do where there are any, else as `analysis.power` assumes.
    """
    tested = [_tested(task, study, store, workshop) for task in study.suite_tasks if task.may_enter_means]
    rows: list[Detectable] = []
    for model in study.models:
        for wanted in Relation:
            own = [
                found
                for found in tested
                if relation(model.trained_on, found.task) == wanted and not model.cannot_answer(found.task)
            ]
            if not own:
                continue
            difference = detectable_difference([found.items for found in own])
            mean_count = sum(found.items.item_count for found in own) / len(own)
            needed = math.ceil(mean_count * items_factor(difference)) if difference > WANTED else None
            rows.append(
                Detectable(
                    model.variant,
                    wanted,
                    sum(found.items.cell_count for found in own),
                    sum(found.items.item_count for found in own),
                    min(found.items.unit_count for found in own),
                    difference,
                    all(found.is_measured for found in own),
                    needed,
                    _mend(needed, [found.task for found in own], workshop) if needed else "",
                )
            )
    return tuple(rows)


def _mend(needed: int, tasks: Sequence[SuiteTask], workshop: Workshop) -> str:
    """Return what gives every task the rows that are needed: a higher limit where there are more, else other rows."""
    counts = {tested.task.name: len(tested.rows(workshop)) for tested in tasks}
    ways = ["raise test_limit"] if any(counts[one.task.name] > one.limit for one in tasks) else []
    if short := [name for name, count in counts.items() if count < needed]:
        has = "have" if len(short) > 1 else "has"
        ways.append(f"{', '.join(short)} {has} fewer: test on more tasks or seeds of demonstrations, or add rows")
    return f"{needed} test rows a task would show {WANTED}: {'; '.join(ways)}"


def suggestions(rows: Sequence[Detectable]) -> tuple[str, ...]:
    """Return what would make too coarse a design finer, one sentence per relation."""
    coarse: dict[Relation, Detectable] = {}
    for row in rows:
        worst = coarse.get(row.relation)
        if row.rows_needed is not None and (worst is None or row.rows_needed > (worst.rows_needed or 0)):
            coarse[row.relation] = row
    found = [
        f"{kind}: this design shows differences from {row.difference:.2f} on; {row.mend}"
        for kind, row in coarse.items()
    ]
    found += [f"{kind}: {NO_INTERVAL}" for kind in dict.fromkeys(row.relation for row in rows if not row.has_interval)]
    return tuple(found)


def _tested(tested: SuiteTask, study: Study, store: Store, workshop: Workshop) -> _TestedTask:
    rows, task = tested.rows(workshop)[: tested.limit], tested.task
    assumed = ANSWER_DEVIATION if task.is_classification else OVERLAP_DEVIATION
    if task.primary_metric == "macro_f1":
        assumed *= macro_factor(Counter(row.target for row in rows))
    scores = [
        step
        for step in study.scores
        if step.predictions.variant is None and step.predictions.cell.tested_on == task.name
    ]
    stored = [
        float(values[:, 0].std())
        for step in scores
        if store.has(step)
        for values in [step.statistics(store)[1][task.primary_metric]]
        if values.shape[1] == 2
    ]
    # A base that is always right, or never, says little of how a variant will vary.
    deviation = max(float(np.mean(stored)), assumed / 2) if stored else assumed
    sources = tuple(Counter(row.group or row.id for row in rows).values())
    items = AskedItems(max(2, len(rows)), len(scores), deviation, sources)
    return _TestedTask(tested, items, bool(stored))
