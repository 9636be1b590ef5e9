"""The step that turns a cell's predictions into per-example statistics of its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from spillover.evaluation.choice import Scoring, ScoringKind
from spillover.evaluation.metrics import METRICS, statistics
from spillover.records import FloatArray
from spillover.steps.predict import Predict
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, Told
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.store import Store

STATISTICS = "statistics.json"


@dataclass(frozen=True)
class Score(Step):
    """Turn a cell's predictions into per-example statistics of its metrics."""

    kind: ClassVar[str] = "score"
    version: ClassVar[int] = 2
    predictions: Predict
    metrics: tuple[str, ...]
    trained_answers: tuple[str, ...]
    """Label words of the tasks the study trains on."""
    scoring: ScoringKind = "raw"

    @property
    def label(self) -> str:
        return f"score {self.predictions.model} {self.predictions.cell.tested_on}"

    def fields(self) -> Mapping[str, Any]:
        return {
            "metrics": self.metrics,
            "trained_answers": self.trained_answers,
            "answers": self.predictions.data.task.answers,
            "scoring": self.scoring,
            "length_normalised": self.is_length_normalised,
            **({"metric_versions": raised} if (raised := self._raised_versions()) else {}),
        }

    def _raised_versions(self) -> Mapping[str, int]:
        """Return the versions of metrics that compute something else than at first, so that only they are scored again.

        ``version`` would have every cell of every study scored again.
        """
        is_choice = self.predictions.data.task.is_classification
        versions = {name: METRICS[name].version_for(is_choice=is_choice) for name in self.metrics}
        return {name: version for name, version in versions.items() if version > 1}

    @property
    def is_length_normalised(self) -> bool:
        """Whether answers are compared by nats per character."""
        task = self.predictions.data.task
        return task.has_own_options and task.length_normalised

    @property
    def rule(self) -> Scoring:
        """How answers are compared."""
        answers = self.predictions.data.task.answers
        return Scoring(self.trained_answers, answers, self.scoring, self.is_length_normalised)

    def inputs(self) -> Mapping[str, Step]:
        return {"predictions": self.predictions}

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        predictions = self.predictions.answered(workshop.store)
        values = {metric: statistics(metric, predictions, self.rule) for metric in self.metrics}
        ids = [prediction.example_id for prediction in predictions]
        files.write_statistics(folder / STATISTICS, ids, values)

    def work(self, workshop: Workshop) -> float:
        return 1.0

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return Cost()  # seconds of a whole study

    def outside_fault(self, cache: Path) -> str | None:
        return None

    def statistics(self, store: Store) -> tuple[tuple[str, ...], dict[str, FloatArray]]:
        """Return the finished step's item ids and, for each metric, its statistics ``(n, k)``."""
        return files.read_statistics(store.file(self, STATISTICS))
