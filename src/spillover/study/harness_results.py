"""Adds the cells of lm-eval tasks to a study's results, like any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from spillover.errors import SpilloverError
from spillover.evaluation.harness.aggregations import COMBINE
from spillover.evaluation.harness.tasks import HarnessTask
from spillover.evaluation.metrics import METRICS
from spillover.records import CellScores, MetricCard, StudyResults, TaskCard
from spillover.study import files
from spillover.study.harness import RULES, AskHarness, ScoreHarness
from spillover.study.step import Variant
from spillover.study.store import Store
from spillover.tasks.relation import relation


def with_harness(
    results: StudyResults, steps: Sequence[ScoreHarness], variants: Sequence[Variant], store: Store
) -> StudyResults:
    """Return the results with the scores of lm-eval tasks.

    Args:
        results: Of everything else.
        steps: Of the base and of ``variants``, finished.
        variants: That the results hold.
        store: Where the steps are.
    """
    tasks = {step.predictions.asked.task.name: step.predictions.asked.task for step in steps}
    base_steps = [step.predictions for step in steps if step.predictions.variant is None]
    cards, scores, notes = [], list(results.scores), list(results.skipped)
    metrics = dict(results.metrics)
    for task in tasks.values():
        own = [step for step in steps if step.predictions.asked.task is task]
        of_task = _comparable([_cell_scores(step, store) for step in own])
        names = {}
        for name, card in _metric_cards(of_task, _rules(own[0], store)["rules"]).items():
            names[name] = _free_name(name, card, task, metrics)
            metrics[names[name]] = card
        scores += [replace(entry, metric=names[entry.metric]) for entry in of_task]
        source = next(step for step in base_steps if step.asked.task is task)
        cards.append(_task_card(source, _primary(list(names.values()), metrics), store))
        notes += sorted({note for step in own for note in _rules(step, store)["left_out"]})
    return replace(
        results,
        tasks=(*results.tasks, *cards),
        relations={
            **results.relations,
            **{(v.variant, name): relation(v.trained_on, task) for v in variants for name, task in tasks.items()},
        },
        metrics=metrics,
        scores=tuple(scores),
        prompts=(
            *results.prompts,
            *(
                replace(files.read_prompt(store.file(step.kind, step.key, "prompt.json")), cell=step.cell)
                for step in base_steps
            ),
        ),
        skipped=tuple(notes),
    )


def _cell_scores(step: ScoreHarness, store: Store) -> list[CellScores]:
    ids, statistics = files.read_statistics(store.file(step.kind, step.key, "statistics.json"))
    asked = step.predictions
    return [CellScores(asked.model, asked.cell, metric, ids, values) for metric, values in statistics.items()]


def _rules(step: ScoreHarness, store: Store) -> Any:
    return files.read_json(store.file(step.kind, step.key, RULES))


def _comparable(steps: Sequence[Sequence[CellScores]]) -> list[CellScores]:
    """Return the scores of metrics that every model has in every cell.

    Raises:
        SpilloverError: There is none.
    """
    shared = set.intersection(*({scored.metric for scored in of_step} for of_step in steps))
    if not shared:
        raise SpilloverError(f"{steps[0][0].cell.tested_on}: no metric is a number for every item of every model")
    return [scored for of_step in steps for scored in of_step if scored.metric in shared]


def _metric_cards(scores: Sequence[CellScores], rules: Mapping[str, Any]) -> dict[str, MetricCard]:
    """Return a card for every metric; a mean of numbers from 0 to 1 is a share."""
    cards = {}
    for name in dict.fromkeys(scored.metric for scored in scores):
        rule, values = rules[name], [scored.statistics[:, 0] for scored in scores if scored.metric == name]
        is_share = rule["aggregation"] == "mean" and all(((part >= 0) & (part <= 1)).all() for part in values)
        unit = "share" if is_share else "points"
        cards[name] = MetricCard(name, COMBINE[rule["aggregation"]], unit, rule["higher_is_better"])
    return cards


def _free_name(name: str, card: MetricCard, task: HarnessTask, taken: Mapping[str, MetricCard]) -> str:
    """Return the metric's name, with its task's where another metric of the study has it already."""
    return f"{name} of {task.name}" if name in METRICS or taken.get(name, card) != card else name


def _primary(names: Sequence[str], metrics: Mapping[str, MetricCard]) -> str:
    """Return the first metric that enters means over tasks, else the first."""
    return next((name for name in names if metrics[name].unit == "share" and metrics[name].higher_is_better), names[0])


def _task_card(source: AskHarness, primary: str, store: Store) -> TaskCard:
    predictions = files.read_predictions(store.file(source.kind, source.key, "predictions.jsonl"))
    options = [prediction.options for prediction in predictions]
    targets = Counter(prediction.target for prediction in predictions)
    has_answer_set = bool(options[0]) and len(set(options)) == 1
    task = source.asked.task
    return TaskCard(
        task.name,
        task.family,
        task.domain,
        options[0] if has_answer_set else (),
        primary,
        len(predictions),
        targets.most_common(1)[0][1] / len(predictions) if has_answer_set else None,
        {},
        chance_accuracy=sum(1 / len(row) for row in options) / len(options) if all(options) else None,
    )
