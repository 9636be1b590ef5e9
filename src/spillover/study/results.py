"""Collects a finished study from its store for analysis and report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from spillover.errors import UserError
from spillover.evaluation.floors import constant_scores, floors
from spillover.evaluation.metrics import METRICS
from spillover.records import (
    BASE,
    Cell,
    CellChanges,
    CellScores,
    CommonAnswer,
    FlipFloor,
    PromptCard,
    StudyResults,
    TaskCard,
    VariantCard,
)
from spillover.steps.finetune import Finetune
from spillover.steps.harness import ScoreHarness
from spillover.steps.score import Score
from spillover.steps.step import Step, with_inputs
from spillover.steps.variant import Variant
from spillover.steps.workshop import machine
from spillover.store.identity import digest
from spillover.store.store import Store
from spillover.study.harness_results import with_harness
from spillover.study.item_seconds import item_seconds
from spillover.study.items import MOST_ITEMS, Compared, ItemReader, by_cell, compared_metric
from spillover.study.study import Study, scored_metrics
from spillover.tasks.relation import relation
from spillover.tasks.task import Task


def collect(study: Study, store: Store, *, command: str) -> StudyResults:
    """Return the results of every finished variant.

    A variant of which any cell is missing is left out and named in ``skipped``: a mean over the cells that happen to
    be there would be no answer. One whose drift alone is missing is in, without its drift, and named too.

    Args:
        command: What reproduces the study, for the report.

    Raises:
        UserError: If the base's own cells are not all there.
    """
    base_steps = [step for step in study.scores if step.predictions.variant is None]
    base_harness = [step for step in study.harness_scores if step.predictions.variant is None]
    if not all(store.has(step) for step in (*base_steps, *base_harness)):
        raise UserError(f"study {study.name!r} has no complete base scores in {store.root}; start it with: {command}")
    finished, skipped = [], list(study.skipped)
    for model in study.models:
        missing = [step for step in _leaves(study, model) if not store.has(step)]
        if missing:
            skipped.append(f"variant {model.variant}: {len(missing)} of its steps are not finished")
        else:
            finished.append(model)
    if not finished:
        raise UserError(f"no variant of study {study.name!r} is finished in {store.root}; go on with: {command}")
    done = {model.key for model in finished}
    skipped += [
        f"{step.label}: not done yet"
        for step in study.asked_beside
        if not store.has(step) and any(needed.key in done for needed in step.inputs().values())
    ]
    wanted = {None, *(model.variant for model in finished)}
    scores = [
        step
        for step in study.scores
        if (step.predictions.variant.variant if step.predictions.variant else None) in wanted
    ]
    harness = [step for step in study.harness_scores if step.predictions.model in {BASE, *wanted}]
    cell_scores = [(step, _cell_scores(step, store)) for step in scores]
    groups, (changes, common) = _groups(base_steps, store), _answers(cell_scores, store)
    results = StudyResults(
        study.name,
        _base_card(study),
        tuple(_variant_card(study, store, model) for model in finished),
        tuple(_task_card(task, base_steps, store) for task in study.test_on),
        {(step.variant, task.name): relation(step.trained_on, task) for step in finished for task in study.test_on},
        {name: METRICS[name].card for task in study.test_on for name in scored_metrics(task)},
        tuple(_grouped(scored, groups) for _, rows in cell_scores for scored in rows),
        tuple(_prompt(step, store) for step in base_steps),
        tuple(skipped),
        _provenance(study, store, command),
        _flip_floors([*scores, *harness], store),
        changes,
        common,
        item_seconds([*(step.predictions for step in scores), *(step.predictions for step in harness)], store),
        tuple(question.name for question in study.questions),
        study.margin,
        study.origin,
    )
    return with_harness(results, harness, finished, store)


def _answers(
    cell_scores: Sequence[tuple[Score, Sequence[CellScores]]], store: Store
) -> tuple[tuple[CellChanges, ...], dict[tuple[str, Cell], CommonAnswer]]:
    """Compare every variant's items with the base's, cell by cell, and count what each model answers."""
    reader, scores, changes = ItemReader(store), dict[str, CellScores](), []
    for step, rows in cell_scores:
        wanted = compared_metric(step.predictions.data.task, [row.metric for row in rows])
        scores[step.key] = next(row for row in rows if row.metric == wanted)
    base = {step.predictions.cell: step for step, _ in cell_scores if step.predictions.variant is None}
    common = {}
    for step in by_cell([step for step, _ in cell_scores]):
        model, cell = step.predictions.model, step.predictions.cell
        common[model, cell] = reader.common_answer(step)
        if model != BASE:
            before, after = base[cell], scores[step.key]
            compared = Compared.of(METRICS[after.metric].card, scores[before.key], after)
            changes.append(reader.changes(before, step, compared, most=MOST_ITEMS))
    return tuple(changes), common


def _groups(base_steps: Sequence[Score], store: Store) -> Mapping[str, Mapping[str, str]]:
    """Return the source of each test row, by tested task and row id, of tasks in which rows share a source."""
    found = {}
    for data in {step.predictions.data.key: step.predictions.data for step in base_steps}.values():
        rows = data.stored(store).test
        named = [row.group for row in rows if row.group]
        if len(set(named)) < len(named):
            found[data.task.name] = {row.id: row.group for row in rows}
    return found


def _grouped(scores: CellScores, groups: Mapping[str, Mapping[str, str]]) -> CellScores:
    of_task = groups.get(scores.cell.tested_on)
    return replace(scores, groups=tuple(of_task[name] for name in scores.example_ids)) if of_task else scores


def _flip_floors(steps: Sequence[Score | ScoreHarness], store: Store) -> dict[tuple[str, Cell], FlipFloor]:
    """Return what was also computed in exact arithmetic, by model and cell."""
    found = {}
    for source in (step.predictions for step in steps):
        facts = source.facts(store)
        if floor := facts.get("flip_floor"):
            found[source.model, source.cell] = FlipFloor(**floor)
    return found


def _leaves(study: Study, model: Variant) -> list[Step]:
    scores = [step for step in study.scores if step.predictions.variant is model]
    harness = [step for step in study.harness_scores if step.predictions.variant is model]
    made = [step for step in with_inputs([model]) if isinstance(step, Variant)]
    return [*scores, *harness, *made]


def _base_card(study: Study) -> Mapping[str, Any]:
    base = study.base
    return {
        "name": base.name,
        "fingerprint": base.fingerprint,
        "parameter_count": base.parameter_count,
        "kind": base.kind,
        "licence": base.licence,
        "context_length": base.context_length,
    }


def _variant_card(study: Study, store: Store, step: Variant) -> VariantCard:
    facts = {question.name: found for question in study.questions if (found := question.facts(study, store, step))}
    trained_on = step.trained_on.name if step.trained_on else "data not stated"
    card = VariantCard(step.variant, step.name, trained_on, step.size, step.seed, step.recipe_card(), {}, facts)
    trained = next((made for made in with_inputs([step]) if isinstance(made, Finetune)), None)
    if trained is None:
        return card
    training = trained.log(store)
    return replace(
        card,
        training=training,
        mixture=_mixture(trained, training),
        is_classification=trained.trained_on.is_classification,
        is_control=bool((part := study.part_of(trained)) and part.is_control),
    )


def _mixture(trained: Finetune, training: Mapping[str, Any]) -> Mapping[str, Any]:
    mixture = trained.rows.mixture
    return {"budget": mixture.budget, "order": mixture.order, **training["mixture"]} if mixture else {}


def _task_card(task: Task, base_steps: list[Score], store: Store) -> TaskCard:
    step = next(step for step in base_steps if step.predictions.data.task is task)
    source, scored = step.predictions, scored_metrics(task)
    facts, predictions = source.facts(store), source.answered(store)
    targets = Counter(prediction.target for prediction in predictions)
    majority = targets.most_common(1)[0][1] / len(predictions) if task.answers else None
    counts = [len(prediction.options) or len(task.answers) for prediction in predictions]
    chance = sum(1 / count for count in counts) / len(counts) if task.is_classification else None
    return TaskCard(
        task.name,
        task.family,
        task.domain,
        task.answers,
        task.primary_metric,
        len(predictions),
        majority,
        facts["dropped"],
        task.licence,
        chance,
        task.closed_book,
        floors(predictions, step.rule, scored),
        constant_scores(predictions, step.rule, scored),
    )


def _cell_scores(step: Score, store: Store) -> list[CellScores]:
    ids, statistics = step.statistics(store)
    model, cell = step.predictions.model, step.predictions.cell
    return [CellScores(model, cell, metric, ids, values) for metric, values in statistics.items()]


def _prompt(step: Score, store: Store) -> PromptCard:
    source = step.predictions
    return replace(source.prompt(store), cell=source.cell)


def _provenance(study: Study, store: Store, command: str) -> dict[str, Any]:
    leaves = [*study.scores, *study.harness_scores, *study.models, *study.asked_beside, *study.validations]
    spent = [store.manifest(step)["provenance"] for step in study.steps if store.has(step)]
    return {
        "command": command,
        "study_digest": digest([step.key for step in leaves]),
        "base_fingerprint": study.base.fingerprint,
        "tokenizer_fingerprint": study.base.tokenizer_fingerprint,
        "suite": study.suite.name,
        "precision": study.precision,
        "protocol": study.protocol,
        "scoring": study.scoring,
        "seeds": list(study.seeds),
        "demonstration_seeds": list(study.demonstration_seeds),
        "step_count": len(study.steps),
        "cpu_seconds": round(sum(entry["cpu_seconds"] for entry in spent), 1),
        "duration_seconds": round(sum(entry["duration_seconds"] for entry in spent), 1),
        **machine(),
    }
