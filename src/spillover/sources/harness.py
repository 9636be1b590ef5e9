"""A task of lm-eval as a study tests on it: loaded, laid out as cells, and the steps of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spillover.errors import UserError, unknown_name
from spillover.evaluation.harness.asked import HarnessCell, harness_cell
from spillover.evaluation.harness.tasks import FAMILY, PREFIX, HarnessTask, load_tasks
from spillover.sources.asked_task import AskedModel, AskedTask
from spillover.sources.task_code import require_trusted
from spillover.steps.harness import AskHarness, ScoreHarness
from spillover.steps.workshop import Workshop


@dataclass(frozen=True, eq=False, kw_only=True)
class LmEvalTask(AskedTask):
    """A task of lm-eval."""

    task: HarnessTask
    cells: tuple[HarnessCell, ...]

    @property
    def entry(self) -> object:
        return {"task": self.name, "family": self.family}

    @property
    def may_enter_means(self) -> bool:
        return self.task.may_enter_means

    def scores(self, model: AskedModel) -> list[ScoreHarness]:
        return [ScoreHarness(self._ask(model, asked)) for asked in self.cells]

    def _ask(self, model: AskedModel, asked: HarnessCell) -> AskHarness:
        cells = [other.cell for other in self.cells]
        checked_count = model.checked_count(asked.cell, cells) if asked.chooses else 0  # only choices are compared
        return AskHarness(model.base, model.variant, asked, model.precision, checked_count)

    def unit_count(self, workshop: Workshop) -> int:
        """Return the documents that are asked, each by itself: lm-eval knows no sources."""
        return len(self.cells[-1].items)

    def limit_for(self, unit_count: int, workshop: Workshop) -> int | None:
        """Return the count itself where the task fills its limit: what lies beyond is not known here."""
        return unit_count if self.unit_count(workshop) == self.limit else None


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


def asked_tasks(
    tasks: Sequence[HarnessTask],
    *,
    shots: Sequence[int] | None,
    limits: Mapping[str, int],
    demonstration_seeds: Sequence[int],
) -> tuple[tuple[LmEvalTask, ...], tuple[str, ...]]:
    """Return the tasks with every cell, and a sentence for whatever was asked for and is left out.

    Args:
        tasks: Loaded tasks.
        shots: Wanted shot counts; None takes each task's own, or 0.
        limits: Task to documents at the most.
        demonstration_seeds: Of cells with demonstrations.
    """
    asked: list[LmEvalTask] = []
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
        limit = limits[task.name]
        cells = tuple(
            harness_cell(task, shots=count, demonstration_seed=seed, limit=limit)
            for seed in demonstration_seeds
            for count in sorted(kept)
            if count or seed == demonstration_seeds[0]
        )
        if cells:
            asked.append(LmEvalTask(task=task, cells=cells, limit=limit))
    return tuple(asked), tuple(skipped)


def is_harness_name(name: str) -> bool:
    """Whether a study's name of a task is one of lm-eval."""
    return name.startswith(PREFIX)
