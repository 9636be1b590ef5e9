"""The step that turns a cell's predictions into per-example statistics of its metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from spillover.evaluation.choice import Scoring, ScoringKind, of_cell
from spillover.evaluation.floors import constant_scores, floors
from spillover.evaluation.metrics import METRICS, statistics
from spillover.evaluation.text_metrics import unparsed
from spillover.records import MetricCard, Prediction, TaskCard
from spillover.steps.cell_steps import STATISTICS, ScoreCell, TaskScores
from spillover.steps.predict import Predict
from spillover.steps.step import Told
from spillover.steps.supervise_cells import Classify
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.store import Store


@dataclass(frozen=True)
class Score(ScoreCell):
    """Turn a cell's predictions into per-example statistics of its metrics."""

    kind: ClassVar[str] = "score"
    version: ClassVar[int] = 2
    predictions: Predict | Classify
    metrics: tuple[str, ...]
    trained_answers: tuple[str, ...]
    """Label words of the tasks the study trains on."""
    scoring: ScoringKind = "raw"

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

    def finished_rule(self, store: Store) -> Scoring:
        return of_cell(self.rule, self.predictions.answered(store)) if self.scoring == "batch" else self.rule

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        predictions = self.predictions.answered(workshop.store)
        rule = of_cell(self.rule, predictions)
        values = {metric: statistics(metric, predictions, rule) for metric in self.metrics}
        ids = [prediction.example_id for prediction in predictions]
        files.write_statistics(folder / STATISTICS, ids, values)

    def answer_fault(self, prediction: Prediction, rule: Scoring) -> str:
        task = self.predictions.data.task
        if prediction.log_likelihoods:
            return ""
        if not self.answer_text(prediction, rule).strip():
            return "empty answer"
        if "unparsed" in task.metrics and unparsed([prediction], rule)[0, 0]:
            return "no number given"
        most = task.generation.max_new_tokens
        return f"cut off at {most} tokens" if len(prediction.token_ids) >= most else ""

    @classmethod
    def task_scores(cls, steps: Sequence[Score], workshop: Workshop) -> TaskScores:
        metrics, data = steps[0].metrics, steps[0].predictions.data
        groups = {row.id: row.group for row in data.rows(workshop).test}
        named = [group for group in groups.values() if group]
        shared = groups if len(set(named)) < len(named) else None
        return TaskScores(
            {name: METRICS[name].card for name in metrics},
            "accuracy" if "accuracy" in metrics else data.task.primary_metric,  # right or wrong, of choices
            tuple(scored for step in steps for scored in step.cell_scores(workshop.store, shared)),
            tuple(dict.fromkeys(note for step in steps for note in step.predictions.notes)),
        )

    def task_card(self, metrics: Mapping[str, MetricCard], store: Store) -> TaskCard:
        task, predictions = self.predictions.data.task, self.predictions.answered(store)
        rule = of_cell(self.rule, predictions)
        targets = Counter(prediction.target for prediction in predictions)
        counts = [len(prediction.options) or len(task.answers) for prediction in predictions]
        return TaskCard(
            task.name,
            task.family,
            task.domain,
            task.answers,
            task.primary_metric,
            len(predictions),
            targets.most_common(1)[0][1] / len(predictions) if task.answers else None,
            self.predictions.facts(store)["dropped"],
            task.licence,
            sum(1 / count for count in counts) / len(counts) if task.is_classification else None,
            task.closed_book,
            floors(predictions, rule, tuple(metrics)),
            constant_scores(predictions, rule, tuple(metrics)),
        )
