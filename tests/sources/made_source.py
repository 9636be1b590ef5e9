"""A source of cells that is neither a suite nor lm-eval: models are asked by their ids for the length of a word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spillover.records import AskedItem, Cell, MetricCard, Prediction, PromptCard, TaskCard
from spillover.sources.asked_task import AskedTask
from spillover.steps.cell_steps import STATISTICS, Answered, AskCell, ScoreCell, TaskScores
from spillover.steps.speed import Cost
from spillover.store import files

CLOSE = MetricCard("close", lambda totals: totals[..., 0] / totals[..., 1], "share", True)


@dataclass(frozen=True)
class Length:
    """A task of the source."""

    words: tuple[str, ...]
    name: str = "length"
    family: str = "counting"
    domain: str = "words"


@dataclass(frozen=True)
class AskLength(AskCell):
    """Every model answers the length of a word; a variant is wrong by one for the first word."""

    kind: ClassVar[str] = "length-predict"
    version: ClassVar[int] = 1
    task: Length
    precision: str = "float32"
    checked_count: int = 0

    @property
    def cell(self):
        return Cell(self.task.name, 1, 0, 0)

    def fields(self):
        return {"words": self.task.words, "base": self.base.fingerprint}

    def inputs(self):
        return {"variant": self.variant} if self.variant else {}

    def compute(self, folder, workshop, told):
        wrong = {self.task.words[0]: 1} if self.variant else {}
        rows = [Prediction(word, str(len(word)), str(len(word) + wrong.get(word, 0))) for word in self.task.words]
        prompt = PromptCard(self.cell, rows[0].example_id, f"{rows[0].example_id}?", (), 0, rows[0].target, {})
        self.write_answers(folder, Answered(rows, prompt, compare=lambda exact: None), model=None)

    def work(self, workshop):
        return 1.0

    def cost(self, work, workshop, speed):
        return Cost()

    def asked_items(self, workshop):
        return [AskedItem(word, f"{word}?", str(len(word))) for word in self.task.words]


@dataclass(frozen=True)
class ScoreLength(ScoreCell):
    """Scores how close a length is."""

    kind: ClassVar[str] = "length-score"
    version: ClassVar[int] = 1
    predictions: AskLength

    def fields(self):
        return {}

    def compute(self, folder, workshop, told):
        rows = self.predictions.answered(workshop.store)
        close = [[1 / (1 + abs(int(row.target) - int(row.raw_answer))), 1.0] for row in rows]
        files.write_statistics(folder / STATISTICS, [row.example_id for row in rows], {"close": np.array(close)})

    def answer_text(self, prediction, rule):
        return f"{prediction.raw_answer} letters"

    @classmethod
    def task_scores(cls, steps: Sequence["ScoreLength"], workshop):
        scores = tuple(scored for step in steps for scored in step.cell_scores(workshop.store))
        return TaskScores({"close": CLOSE}, "close", scores, notes=("length: in letters, not in tokens",))

    def task_card(self, metrics, store):
        task = self.predictions.task
        return TaskCard(task.name, task.family, task.domain, (), "close", len(task.words), None, {})


@dataclass(frozen=True, kw_only=True)
class AskedLength(AskedTask):
    """The task in a study."""

    task: Length

    @property
    def may_enter_means(self):
        return True

    def scores(self, model):
        return [ScoreLength(AskLength(model.base, model.variant, self.task))]

    def unit_count(self, workshop):
        return len(self.task.words)

    def limit_for(self, unit_count, workshop):
        return None
