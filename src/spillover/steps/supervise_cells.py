"""The step that asks a classifier a task of the suite: it reads no prompt, so that all cells of a task are one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from spillover.errors import UserError
from spillover.models.precision import Precision
from spillover.prompts.receipts import Place
from spillover.records import AskedItem, Cell, Example, PromptCard
from spillover.steps.cell_steps import Answered, AskCell
from spillover.steps.prepare import Prepare
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, Told
from spillover.steps.supervise_variant import ClassifierVariant, dropped_of, over_answers, predictions_of
from spillover.steps.workshop import Workshop
from spillover.tasks.prepare import Protocol


@dataclass(frozen=True)
class Classify(AskCell):
    """Ask a classifier the test rows of a task; cells that differ in their prompt alone have the same key."""

    kind: ClassVar[str] = "classify"
    version: ClassVar[int] = 1
    variant: ClassifierVariant
    data: Prepare
    cell: Cell
    test_limit: int
    protocol: Protocol
    precision: Precision = "float32"
    checked_count: int = 0
    part: Place = "test"
    """Which of the task's rows: what another model is shown of demonstrations comes from here too."""

    @property
    def label(self) -> str:
        return f"ask {self.model} {'' if self.part == 'test' else 'the demonstrations of '}{self.cell.tested_on}"

    def fields(self) -> Mapping[str, Any]:
        own = {"answers": self.data.task.answers, "protocol": self.protocol}
        return own | ({"test_limit": self.test_limit} if self.part == "test" else {"part": self.part})

    def inputs(self) -> Mapping[str, Step]:
        if self.part == "test":
            return {"data": self.data, "variant": self.variant}
        return {"data": self.data, **self.variant.fair_inputs()}  # it may have been trained on them

    def rows(self, workshop: Workshop) -> tuple[tuple[Example, ...], dict[str, int]]:
        """Return the rows that are asked, the same as of every model, and those left out (reason to count)."""
        if self.part == "demonstrations":
            return self.data.rows(workshop).demonstrations, {}
        rows, dropped = self.data.tested_rows(workshop, self.protocol)
        return rows[: self.test_limit], dropped_of(self.data.rows(workshop).dropped, dropped)

    def work(self, workshop: Workshop) -> float:
        rows, _ = self.rows(workshop)
        if len(rows) < 2:
            raise UserError(f"task {self.data.task.name!r}: {len(rows)} test rows are left to ask; give it more rows")
        return self.variant.asked_work(rows)

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return speed.asked_token * work

    def memory_bytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        return 4 * self.variant.weight_count(shapes)

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        rows, dropped = self.rows(workshop)
        answers = self.data.task.answers
        say = self.variant.asked_shares if self.part == "test" else self.variant.shares_of
        logs = over_answers(say(rows, workshop), self.variant.labels, answers)
        first = PromptCard(self.cell, rows[0].id, _text(rows[0]), (), 0, rows[0].target, {})
        self.write_answers(folder, Answered(predictions_of(logs, rows, answers), first, dropped=dropped))

    def asked_items(self, workshop: Workshop) -> Sequence[AskedItem]:
        answers = self.data.task.answers
        return [AskedItem(row.id, _text(row), row.target, answers) for row in self.rows(workshop)[0]]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of the answers: that some are none that the classifier knows."""
        answers, labels = self.data.task.answers, self.variant.labels
        unknown = [answer for answer in answers if answer not in labels]
        others = [label for label in labels if label not in answers]
        if not unknown and not others:
            return ()
        said = [f"it never answers {', '.join(unknown)}"] if unknown else []
        said += [f"its {', '.join(others)} is left out"] if others else []
        return (f"{self.variant.name} on {self.cell.tested_on}: {'; '.join(said)}; shares are of the labels in common",)


def _text(row: Example) -> str:
    return "\n".join(row.fields.values())
