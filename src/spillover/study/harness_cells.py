"""Tasks of lm-eval that a study tests on: loaded, and laid out as cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from spillover.errors import UserError, unknown_name
from spillover.evaluation.harness.asked import HarnessCell, harness_cell
from spillover.evaluation.harness.tasks import FAMILY, PREFIX, HarnessTask, load_tasks
from spillover.study.task_code import require_trusted


def harness_tasks(
    families: Mapping[str, str], *, known_families: Sequence[str], folders: Sequence[Path], cache: Path, where: str
) -> list[HarnessTask]:
    """Load the lm-eval tasks that a study tests on.

    Args:
        families: Task, ``lm-eval/NAME``, to the family the study gives it; empty for none.
        known_families: Those of the suite.
        folders: Where a user's own tasks are.
        cache: Where agreements to run their code are kept.
        where: Begins an error's line.

    Raises:
        UserError: A family or a task is unknown, a folder is not agreed to, or a task cannot be compared on.
    """
    for name, family in families.items():
        if family and family not in (FAMILY, *known_families):
            raise UserError(f"{where}: test_on: {name}: {unknown_name('family', family, known_families)}")
    if families:
        require_trusted(folders, cache=cache)
    return load_tasks(families, folders) if families else []


def harness_cells(
    tasks: Sequence[HarnessTask],
    *,
    shots: Sequence[int] | None,
    limits: Mapping[str, int],
    demonstration_seeds: Sequence[int],
) -> tuple[tuple[HarnessCell, ...], tuple[str, ...]]:
    """Return every cell of the tasks, and a sentence for whatever was asked for and is left out.

    Args:
        tasks: Loaded tasks.
        shots: Wanted shot counts; None takes each task's own, or 0.
        limits: Task to documents at the most.
        demonstration_seeds: Of cells with demonstrations.
    """
    cells: list[HarnessCell] = []
    skipped: list[str] = []
    for task in tasks:
        skipped += task.left_out
        fixed, held = task.fixed_shots, task.demonstration_count
        for count in shots or ():
            if fixed is not None and count != fixed:
                skipped.append(f"{task.name} at {count} shots: the task itself sets {fixed}")
            elif fixed is None and count > held:
                skipped.append(f"{task.name} at {count} shots: the task has {held} rows to show that it does not test")
        kept = [count for count in shots or (0,) if count <= held] if fixed is None else [fixed]
        for seed in demonstration_seeds:
            cells += [
                harness_cell(task, shots=count, demonstration_seed=seed, limit=limits[task.name])
                for count in sorted(kept)
                if count or seed == demonstration_seeds[0]
            ]
    return tuple(cells), tuple(skipped)


def is_harness_name(name: str) -> bool:
    """Whether a study's name of a task is one of lm-eval."""
    return name.startswith(PREFIX)
