"""Collects a finished study from its store for analysis and report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from spillover.errors import UserError
from spillover.evaluation.metrics import METRICS
from spillover.records import CellScores, FlipFloor, PromptCard, StudyResults, TaskCard, VariantCard
from spillover.study import files
from spillover.study.identity import digest
from spillover.study.mixed import mixture_card
from spillover.study.step import Derive, Score, Step, Variant
from spillover.study.store import Store
from spillover.study.study import Study, scored_metrics
from spillover.study.work import machine
from spillover.tasks.relation import relation
from spillover.tasks.task import Task


def collect(study: Study, store: Store, *, command: str) -> StudyResults:
    """Return the results of every finished variant.

    A variant of which any step is missing is left out and named in ``skipped``: a mean over the cells that happen to
    be there would be no answer.

    Args:
        command: What reproduces the study, for the report.

    Raises:
        UserError: If the base's own cells are not all there.
    """
    base_steps = [step for step in study.scores if step.predictions.variant is None]
    if not all(store.has(step.kind, step.key) for step in base_steps):
        raise UserError(f"study {study.name!r} has no complete base scores in {store.root}; start it with: {command}")
    finished, skipped = [], list(study.skipped)
    for model in study.models:
        missing = [step for step in _leaves(study, model) if not store.has(step.kind, step.key)]
        if missing:
            skipped.append(f"variant {model.variant}: {len(missing)} of its steps are not finished")
        else:
            finished.append(model)
    if not finished:
        raise UserError(f"no variant of study {study.name!r} is finished in {store.root}; go on with: {command}")
    wanted = {None, *(model.variant for model in finished)}
    scores = [
        step
        for step in study.scores
        if (step.predictions.variant.variant if step.predictions.variant else None) in wanted
    ]
    return StudyResults(
        study.name,
        _base_card(study),
        tuple(_variant_card(study, store, model) for model in finished),
        tuple(_task_card(task, base_steps, store) for task in study.test_on),
        {(step.variant, task.name): relation(step.data.task, task) for step in finished for task in study.test_on},
        {name: METRICS[name].card for task in study.test_on for name in scored_metrics(task)},
        tuple(scored for step in scores for scored in _cell_scores(step, store)),
        tuple(_prompt(step, store) for step in base_steps),
        tuple(skipped),
        _provenance(study, store, command),
        {(step.predictions.model, step.predictions.cell): floor for step in scores if (floor := _floor(step, store))},
    )


def _floor(step: Score, store: Store) -> FlipFloor | None:
    source = step.predictions
    found = files.read_json(store.file(source.kind, source.key, "facts.json")).get("flip_floor")
    return FlipFloor(**found) if found else None


def _leaves(study: Study, model: Variant) -> list[Step]:
    scores = [step for step in study.scores if step.predictions.variant is model]
    return [*scores, *(step for step in study.drifts if step.variant is model), model, model.trained]


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
    trained = step.trained
    training = files.read_json(store.file(trained.kind, trained.key, "training.json"))
    training["duration_seconds"] = store.manifest(trained.kind, trained.key)["provenance"]["duration_seconds"]
    training["settings"] = trained.settings.model_dump(mode="json")
    moved = next(drift for drift in study.drifts if drift.variant is step)
    drift = files.read_json(store.file(moved.kind, moved.key, "drift.json"))
    recipe = trained.recipe.training_identity()
    if isinstance(step, Derive):
        recipe["afterwards"] = step.change.model_dump(mode="json")
    rows = files.read_prepared(store.file(step.data.kind, step.data.key, "rows.json")) if trained.arm else None
    mixture = mixture_card(trained, training, rows)
    return VariantCard(
        step.variant, step.name, step.data.task.name, step.size, step.seed, recipe, training, drift, mixture
    )


def _task_card(task: Task, base_steps: list[Score], store: Store) -> TaskCard:
    source = next(step.predictions for step in base_steps if step.predictions.data.task is task)
    facts = files.read_json(store.file(source.kind, source.key, "facts.json"))
    predictions = files.read_predictions(store.file(source.kind, source.key, "predictions.jsonl"))
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
    )


def _cell_scores(step: Score, store: Store) -> list[CellScores]:
    ids, statistics = files.read_statistics(store.file(step.kind, step.key, "statistics.json"))
    model, cell = step.predictions.model, step.predictions.cell
    return [CellScores(model, cell, metric, ids, values) for metric, values in statistics.items()]


def _prompt(step: Score, store: Store) -> PromptCard:
    source = step.predictions
    return replace(files.read_prompt(store.file(source.kind, source.key, "prompt.json")), cell=source.cell)


def _provenance(study: Study, store: Store, command: str) -> dict[str, Any]:
    leaves = [*study.scores, *study.models, *study.drifts]
    spent = [
        store.manifest(step.kind, step.key)["provenance"] for step in study.steps if store.has(step.kind, step.key)
    ]
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
