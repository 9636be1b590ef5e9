"""Adds the cells of lm-eval tasks to a study's results, like any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from spillover.evaluation.harness.floors import harness_floors
from spillover.evaluation.harness.tasks import HarnessTask
from spillover.evaluation.metrics import METRICS
from spillover.records import BASE, Cell, CellChanges, CommonAnswer, MetricCard, StudyResults, TaskCard
from spillover.study import files
from spillover.study.harness import AskHarness, ScoreHarness
from spillover.study.harness_scores import TaskScores, metric_rules, task_scores
from spillover.study.items import MOST_ITEMS, Compared, ItemReader, by_cell
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
    metrics, changes, common = dict(results.metrics), list(results.changes), dict(results.common_answers)
    for task in tasks.values():
        own = [step for step in steps if step.predictions.asked.task is task]
        found = task_scores(own, store)
        names = {name: _free_name(name, card, task, metrics) for name, card in found.cards.items()}
        metrics |= {names[name]: card for name, card in found.cards.items()}
        scores += [replace(entry, metric=names[entry.metric]) for entry in found.scores]
        changed, answered = _answers(own, found, store)
        changes += [replace(row, metric=names[row.metric]) for row in changed]
        common |= answered
        source = next(step for step in base_steps if step.asked.task is task)
        cards.append(_task_card(source, found, names, store))
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
        common_answers=common,
    )


def _answers(
    steps: Sequence[ScoreHarness], found: TaskScores, store: Store
) -> tuple[list[CellChanges], dict[tuple[str, Cell], CommonAnswer]]:
    """Compare every variant's items with the base's, cell by cell, and count what each model answers, if it does."""
    reader = ItemReader(store)
    scores = {(scored.variant, scored.cell): scored for scored in found.compared}
    base = {step.predictions.cell: step for step in steps if step.predictions.variant is None}
    changes, common = [], {}
    for step in by_cell(steps):
        model, cell = step.predictions.model, step.predictions.cell
        if step.predictions.asked.is_answered:
            common[model, cell] = reader.common_answer(step)
        if model != BASE:
            compared = Compared.of(found.cards[found.primary], scores[BASE, cell], scores[model, cell])
            changes.append(reader.changes(base[cell], step, compared, most=MOST_ITEMS))
    return changes, common


def _free_name(name: str, card: MetricCard, task: HarnessTask, taken: Mapping[str, MetricCard]) -> str:
    """Return the metric's name, with its task's where another metric of the study has it already."""
    return f"{name} of {task.name}" if name in METRICS or taken.get(name, card) != card else name


def _task_card(source: AskHarness, found: TaskScores, names: Mapping[str, str], store: Store) -> TaskCard:
    """Return the card of a task; ``names`` are the metrics' names in the study."""
    predictions = files.read_predictions(store.file(source.kind, source.key, files.PREDICTIONS))
    options = [prediction.options for prediction in predictions]
    targets = Counter(prediction.target for prediction in predictions)
    has_answer_set = bool(options[0]) and len(set(options)) == 1
    task, known = source.asked.task, harness_floors(source.asked, found.cards)
    return TaskCard(
        task.name,
        task.family,
        task.domain,
        options[0] if has_answer_set else (),
        names[found.primary],
        len(predictions),
        targets.most_common(1)[0][1] / len(predictions) if has_answer_set else None,
        {},
        chance_accuracy=sum(1 / len(row) for row in options) / len(options) if all(options) else None,
        floors={names[name]: value for name, value in known.floors.items()},
        constant_scores={names[name]: value for name, value in known.constant_scores.items()},
    )
