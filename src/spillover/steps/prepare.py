"""The step that reads a task's rows and divides them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from spillover.records import Example
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, Told
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.store import Store
from spillover.tasks.prepare import PreparedTask, Protocol, prepare, protocol_rows
from spillover.tasks.suite import Suite
from spillover.tasks.task import Task


@dataclass(frozen=True)
class Prepare(Step):
    """Read a task's rows and split them into training rows, demonstrations and test rows."""

    kind: ClassVar[str] = "prepare"
    version: ClassVar[int] = 1
    suite: Suite
    task: Task
    cache: Path
    """Where archives are kept; not part of the key."""

    @property
    def label(self) -> str:
        return f"prepare {self.task.name}"

    def fields(self) -> Mapping[str, Any]:
        return self.suite.identity(self.task, cache=self.cache)

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        files.write_prepared(folder / files.ROWS, self.rows(workshop))

    def work(self, workshop: Workshop) -> float:
        self.rows(workshop)
        return 1.0

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return Cost()  # reading takes no time beside asking

    def outside_fault(self, cache: Path) -> str | None:
        is_same = replace(self).key == self.key  # a copy reads the files for a key of its own
        return None if is_same else f"task {self.task.name!r}: its data files changed"

    def rows(self, workshop: Workshop) -> PreparedTask:
        """Return the rows: from memory, from the store, or read now."""

        def read() -> PreparedTask:
            if workshop.store.has(self):
                return self.stored(workshop.store)
            return prepare(self.suite, self.task, cache=self.cache, notice=workshop.notice)

        return workshop.kept((self.kind, self.key), read)

    def tested_rows(self, workshop: Workshop, protocol: Protocol) -> tuple[tuple[Example, ...], dict[str, int]]:
        """Return all rows that the task could be tested on, and those dropped, reason to count."""
        return workshop.kept(
            ("tested rows", self.key, protocol),
            lambda: protocol_rows(self.rows(workshop), split="test", protocol=protocol),
        )

    def stored(self, store: Store) -> PreparedTask:
        """Return the rows of the finished step."""
        return files.read_prepared(store.file(self, files.ROWS))
