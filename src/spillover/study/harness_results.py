"""Adds the cells of lm-eval tasks to a study's results, like any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from spillover.evaluation.harness.tasks import HarnessTask
from spillover.evaluation.metrics import METRICS
from spillover.records import BASE, CellChanges, MetricCard, StudyResults, TaskCard
from spillover.study import files
from spillover.study.harness import AskHarness, ScoreHarness
from spillover.study.harness_scores import TaskScores, metric_rules, task_scores
from spillover.study.items import MOST_ITEMS, Compared, ItemReader
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
    metrics, changes = dict(results.metrics), list(results.changes)
    for task in tasks.values():
        own = [step for step in steps if step.predictions.asked.task is task]
        found = task_scores(own, store)
        names = {name: _free_name(name, card, task, metrics) for name, card in found.cards.items()}
        metrics |= {names[name]: card for name, card in found.cards.items()}
        scores += [replace(entry, metric=names[entry.metric]) for entry in found.scores]
        changes += [replace(row, metric=names[row.metric]) for row in _changes(own, found, store)]
        source = next(step for step in base_steps if step.asked.task is task)
        cards.append(_task_card(source, names[found.primary], store))
        notes += sorted({note for step in own for note in metric_rules(step, store)["left_out"]})
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
        changes=tuple(changes),
    )


def _changes(steps: Sequence[ScoreHarness], found: TaskScores, store: Store) -> list[CellChanges]:
    """Compare every variant's items with the base's, cell by cell."""
    reader = ItemReader(store)
    scores = {(scored.variant, scored.cell): scored for scored in found.compared}
    base = {step.predictions.cell: step for step in steps if step.predictions.variant is None}
    variants = [step for step in steps if step.predictions.variant is not None]
    variants.sort(key=lambda step: step.predictions.cell)  # the reader keeps a cell's items until the next one
    changes = []
    for step in variants:
        cell = step.predictions.cell
        compared = Compared.of(found.cards[found.primary], scores[BASE, cell], scores[step.predictions.model, cell])
        changes.append(reader.changes(base[cell], step, compared, most=MOST_ITEMS))
    return changes


def _free_name(name: str, card: MetricCard, task: HarnessTask, taken: Mapping[str, MetricCard]) -> str:
    """Return the metric's name, with its task's where another metric of the study has it already."""
    return f"{name} of {task.name}" if name in METRICS or taken.get(name, card) != card else name


def _task_card(source: AskHarness, primary: str, store: Store) -> TaskCard:
    predictions = files.read_predictions(store.file(source.kind, source.key, files.PREDICTIONS))
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
