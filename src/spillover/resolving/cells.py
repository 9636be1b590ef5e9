"""What a study tests: its tasks, of suites and of lm-eval, in which cells, and how these are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spillover.artifacts.files import own_path
from spillover.errors import UserError
from spillover.records import PLAIN
from spillover.resolving.here import Here
from spillover.sources.asked_task import AskedTask
from spillover.sources.harness import asked_tasks, harness_tasks, is_harness_name
from spillover.sources.suites import SuiteTask
from spillover.steps.prepare import Prepare
from spillover.study.asks import require_sensible, resolved_asks
from spillover.study.study_file import DEFAULT_TEST_LIMIT, StudyFile
from spillover.tasks.ask import NamedAsk
from spillover.tasks.prepare import demonstration_count
from spillover.tasks.suite import Suite
from spillover.tasks.task import Task

if TYPE_CHECKING:
    from spillover.evaluation.harness.tasks import HarnessTask


@dataclass(frozen=True, slots=True)
class Tested:
    """What is tested."""

    of_suite: tuple[SuiteTask, ...]
    of_harness: tuple[AskedTask, ...]
    asks: Mapping[str, NamedAsk]
    """Ways of asking besides plainly, by name."""
    skipped: tuple[str, ...]
    """Cells that are left out, a sentence each."""

    @property
    def all(self) -> tuple[AskedTask, ...]:
        """Every tested task."""
        return (*self.of_suite, *self.of_harness)


def tested(settings: StudyFile, suite: Suite, here: Here) -> Tested:
    """Return the tasks that a study file tests, in their cells.

    Raises:
        UserError: If a name means nothing, nothing is left to test, or an ask cannot be.
    """
    tasks = _of_suite(settings, suite, here)
    shots, skipped = _shots(settings, suite, tasks, here)
    tasks = tuple(task for task in tasks if shots[task.name])
    for task in tasks:
        for form in settings.prompt_forms:
            suite.template(task, form, cache=here.cache)
    tests = _of_harness(settings, suite, here)
    limits = _test_limits(settings, (*tasks, *tests), suite, here)
    asks = resolved_asks(settings.asks, where=str(here))
    require_sensible(
        asks, settings.ask, suite, [*(task.name for task in tasks), *(test.name for test in tests)], where=str(here)
    )
    if settings.ask != PLAIN and tests:
        raise UserError(
            f"{here}: ask: {tests[0].name} is asked as lm-eval asks it, never as {settings.ask!r}; leave it out"
        )
    harness, left_out = asked_tasks(
        tests,
        shots=None if settings.shots == "default" else settings.shots,
        limits=limits,
        demonstration_seeds=settings.demonstration_seeds,
    )
    skipped += left_out
    if not tasks and not harness:
        raise UserError(f"{here}: no cell is left to test: {skipped[0]}")
    of_suite = tuple(
        SuiteTask(
            task=task,
            data=Prepare(suite, task, here.cache),
            shots=shots[task.name],
            prompt_forms=settings.prompt_forms,
            demonstration_seeds=settings.demonstration_seeds,
            limit=limits[task.name],
            protocol=settings.protocol,
            scoring=settings.scoring,
            ask=settings.ask,
            asks=asks,
        )
        for task in tasks
    )
    if harness and not any(task.may_enter_means for task in (*of_suite, *harness)):
        raise UserError("no tested task has a share such as accuracy as its metric; add one to test_on")
    return Tested(of_suite, harness, asks, skipped)


def _of_suite(settings: StudyFile, suite: Suite, here: Here) -> tuple[Task, ...]:
    """Return the tasks of the suite that are tested on, each once."""
    tasks: dict[str, Task] = {}
    for entry in settings.test_on:
        if is_harness_name(entry.task):
            continue
        if entry.family:
            raise UserError(f"{here}: test_on: {entry.task!r} has its family in the suite; remove family here")
        found = suite.tasks.values() if entry.task == "all" else (suite.task(entry.task),)
        tasks |= {task.name: task for task in found}
    return tuple(tasks.values())


def _shots(
    settings: StudyFile, suite: Suite, tasks: tuple[Task, ...], here: Here
) -> tuple[Mapping[str, tuple[int, ...]], tuple[str, ...]]:
    """Return each task's shot counts, and a sentence for every cell that lacks demonstrations."""
    shots, skipped = {}, []
    for task in tasks:
        wanted = task.shots if settings.shots == "default" else settings.shots
        held = demonstration_count(suite, task, cache=here.cache)
        shots[task.name] = tuple(count for count in wanted if count <= held)
        skipped += [
            f"{task.name} at {count} shots: the task has {held} demonstrations" for count in wanted if count > held
        ]
    return shots, tuple(skipped)


def _of_harness(settings: StudyFile, suite: Suite, here: Here) -> list[HarnessTask]:
    families = {entry.task: entry.family for entry in settings.test_on if is_harness_name(entry.task)}
    return harness_tasks(
        families,
        known_families=sorted({task.family for task in suite.tasks.values()}),
        folders=[here.path.parent / own_path(folder) for folder in settings.lm_eval_include],
        cache=here.cache,
        where=str(here),
    )


def _test_limits(
    settings: StudyFile, tasks: Sequence[Task | HarnessTask], suite: Suite, here: Here
) -> Mapping[str, int]:
    limit = settings.test_limit
    by_family = limit if isinstance(limit, dict) else {"default": limit}
    known = {task.family for task in (*suite.tasks.values(), *tasks)} | {"default"}
    for family, count in by_family.items():
        if family not in known:
            raise UserError(f"{here}: test_limit names the family {family!r}; known: {', '.join(sorted(known))}")
        if count < 2:
            raise UserError(f"{here}: test_limit is {count} for {family!r}; an interval needs at least two rows")
    default = by_family.get("default", DEFAULT_TEST_LIMIT)
    return {task.name: by_family.get(task.family, default) for task in tasks}
