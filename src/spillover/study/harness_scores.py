"""Reads what cells of lm-eval tasks scored: the metrics that can be compared, and the one items are compared by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spillover.errors import SpilloverError
from spillover.evaluation.harness.aggregations import RIGHT, metric_card, plain_name, primary_metric
from spillover.records import CellScores, FloatArray, MetricCard
from spillover.study import files
from spillover.study.harness import RULES, ScoreHarness
from spillover.study.store import Store


@dataclass(frozen=True, slots=True)
class TaskScores:
    """The metrics that several steps of one lm-eval task have in common."""

    cards: Mapping[str, MetricCard]
    scores: tuple[CellScores, ...]

    @property
    def primary(self) -> str:
        """The first metric that enters means over tasks, else the first: what items are compared by."""
        return primary_metric(self.cards)

    @property
    def compared(self) -> tuple[CellScores, ...]:
        """The scores of the primary metric, one a step."""
        return tuple(scored for scored in self.scores if scored.metric == self.primary)


def task_scores(steps: Sequence[ScoreHarness], store: Store) -> TaskScores:
    """Read the scores of finished steps of one task.

    Raises:
        SpilloverError: They have no metric in common.
    """
    read = [_cell_scores(step, store) for step in steps]
    shared = set.intersection(*({scored.metric for scored in of_step} for of_step in read))
    if not shared:
        raise SpilloverError(f"{read[0][0].cell.tested_on}: no metric is a number for every item of every model")
    scores = tuple(scored for of_step in read for scored in of_step if scored.metric in shared)
    rules = metric_rules(steps[0], store)["rules"]
    columns: dict[str, list[FloatArray]] = {}
    for scored in scores:
        columns.setdefault(scored.metric, []).append(scored.statistics)
    return TaskScores({name: _card(name, rules[name], values) for name, values in columns.items()}, scores)


def metric_rules(step: ScoreHarness, store: Store) -> Any:
    """Return how a step's statistics become values: ``rules``, metric to rule, and ``left_out``, a sentence each."""
    return files.read_json(store.file(step.kind, step.key, RULES))


def _cell_scores(step: ScoreHarness, store: Store) -> list[CellScores]:
    ids, statistics = files.read_statistics(store.file(step.kind, step.key, "statistics.json"))
    asked = step.predictions
    return [CellScores(asked.model, asked.cell, metric, ids, values) for metric, values in statistics.items()]


def _card(name: str, rule: Mapping[str, Any], statistics: Sequence[FloatArray]) -> MetricCard:
    better, is_right = rule["higher_is_better"], plain_name(name) in RIGHT
    return metric_card(name, rule["aggregation"], statistics, higher_is_better=better, is_right=is_right)
