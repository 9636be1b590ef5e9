"""Collects a finished study from its store for analysis and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from spillover.errors import UserError
from spillover.evaluation.metrics import METRICS
from spillover.records import (
    BASE,
    PLAIN,
    Cell,
    CellChanges,
    CommonAnswer,
    FlipFloor,
    StudyResults,
    TaskCard,
    VariantCard,
)
from spillover.steps.cell_steps import ScoreCell, TaskScores
from spillover.steps.finetune import Finetune
from spillover.steps.step import Step, with_inputs
from spillover.steps.supervise import Supervise
from spillover.steps.supervise_variant import ClassifierVariant
from spillover.steps.variant import Variant
from spillover.steps.workshop import Workshop, machine
from spillover.store.identity import digest
from spillover.store.store import Store
from spillover.study.item_seconds import item_seconds
from spillover.study.items import MOST_ITEMS, Compared, ItemReader, by_cell
from spillover.study.study import Study
from spillover.tasks.relation import relation


def collect(study: Study, store: Store, *, command: str) -> StudyResults:
    """Return the results of every finished variant.

    A variant of which any cell is missing is left out and named in ``skipped``: a mean over the cells that happen to
    be there would be no answer. One whose drift alone is missing is in, without its drift, and named too.

    Args:
        command: What reproduces the study, for the report.

    Raises:
        UserError: If the base's own cells are not all there.
    """
    finished, skipped = _finished(study, store, command)
    wanted = {BASE, *(model.variant for model in finished)}
    steps = [step for step in study.scores if step.predictions.model in wanted]
    others = [step for step in study.asked_otherwise if step.predictions.model in wanted]
    skipped += [f"{step.label}: not done yet" for step in others if not store.has(step)]
    others = [step for step in others if store.has(step)]
    asked = [step.predictions for step in steps]
    tested = _tested(study, [*steps, *others], store)
    tasks, scores = zip(*tested.values(), strict=True)
    changes, common = _answers(study, steps, dict(zip(tested, scores, strict=True)), store)
    return StudyResults(
        study.name,
        _base_card(study),
        tuple(_variant_card(study, store, model) for model in finished),
        tasks,
        {
            (v.variant, task.name): relation(v.trained_on, task)
            for v in finished
            for task in study.test_on
            if (v.variant, task.name) not in study.unanswered
        },
        {name: card for task in scores for name, card in task.metrics.items()},
        tuple(scored for task in scores for scored in task.scores if scored.cell.ask == study.ask),
        tuple(replace(step.prompt(store), cell=step.cell) for step in asked if step.variant is None),
        (*skipped, *(note for task in scores for note in task.notes)),
        _provenance(study, store, command),
        {
            (step.model, step.cell): FlipFloor(**floor)
            for step in asked
            if (floor := step.facts(store).get("flip_floor"))
        },
        changes,
        common,
        item_seconds(asked, store),
        tuple(question.name for question in study.questions),
        study.margin,
        study.ask,
        tuple(scored for task in scores for scored in task.scores if scored.cell.ask != study.ask),
        {name: named.ask.words for name, named in study.asks.items()},
        tuple(pair for pair in study.compared if {side.variant for side in pair} <= wanted),
        _unchanged([*steps, *others]),
        {question.name: found for question in study.questions if (found := question.collect(study, store)) is not None},
        study.origin,
    )


def _unchanged(steps: Sequence[ScoreCell]) -> frozenset[Cell]:
    """Return the cells of other asks whose steps are those of the plain cell."""
    keys = {step.predictions.cell: step.key for step in steps if step.predictions.variant is None}
    return frozenset(
        cell for cell, key in keys.items() if cell.ask != PLAIN and keys.get(replace(cell, ask=PLAIN)) == key
    )


def _finished(study: Study, store: Store, command: str) -> tuple[list[Variant], list[str]]:
    """Return the variants that are done, and a sentence for whatever is not there.

    Raises:
        UserError: If the base's own cells are not all there, or no variant is.
    """
    if not all(store.has(step) for step in study.scores if step.predictions.variant is None):
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
    names = {model.variant: model.name for model in finished}
    unanswered = {(names[v], task): why for (v, task), why in study.unanswered.items() if v in names}
    skipped += [f"{name} on {task}: {why}" for (name, task), why in unanswered.items()]
    skipped += [
        f"{step.label}: not done yet"
        for step in study.asked_beside
        if not store.has(step) and any(needed.key in done for needed in step.inputs().values())
    ]
    return finished, skipped


def _leaves(study: Study, model: Variant) -> list[Step]:
    scores = [step for step in study.scores if step.predictions.variant is model]
    made = [step for step in with_inputs([model]) if isinstance(step, Variant)]
    return [*scores, *made]


def _tested(study: Study, steps: Sequence[ScoreCell], store: Store) -> Mapping[str, tuple[TaskCard, TaskScores]]:
    """Return what was scored in each tested task, its metrics under names that only they have."""
    workshop, found = Workshop(store), {}
    taken = {name: metric.card for name, metric in METRICS.items()}
    for task in study.test_on:
        own = [step for step in steps if step.predictions.cell.tested_on == task.name]
        scores = own[0].task_scores(own, workshop)
        card = own[0].task_card(scores.metrics, store)  # the base's, which is asked first
        names = {
            name: name if taken.get(name, metric) == metric else f"{name} of {task.name}"
            for name, metric in scores.metrics.items()
        }
        scores = replace(
            scores,
            metrics={names[name]: metric for name, metric in scores.metrics.items()},
            compared_by=names[scores.compared_by],
            scores=tuple(replace(scored, metric=names[scored.metric]) for scored in scores.scores),
        )
        card = replace(
            card,
            primary_metric=names[card.primary_metric],
            floors={names[name]: value for name, value in card.floors.items()},
            constant_scores={names[name]: value for name, value in card.constant_scores.items()},
        )
        found[task.name] = card, scores
        taken |= scores.metrics
    return found


def _answers(
    study: Study, steps: Sequence[ScoreCell], tested: Mapping[str, TaskScores], store: Store
) -> tuple[tuple[CellChanges, ...], dict[tuple[str, Cell], CommonAnswer]]:
    """Compare every variant's items with the base's, cell by cell, and count what each model answers, if it does."""
    reader, changes, common = ItemReader(store), [], {}
    scores = {
        (row.variant, row.cell): row
        for task in tested.values()
        for row in task.scores
        if row.metric == task.compared_by
    }
    base = {step.predictions.cell: step for step in steps if step.predictions.variant is None}
    place = {task.name: index for index, source in enumerate(study.cell_sources) for task in source}
    for step in sorted(by_cell(steps), key=lambda step: place[step.predictions.cell.tested_on]):
        model, cell = step.predictions.model, step.predictions.cell
        if step.is_answered:
            common[model, cell] = reader.common_answer(step)
        if model != BASE:
            compared = Compared.of(tested[cell.tested_on], scores[BASE, cell], scores[model, cell])
            changes.append(reader.changes(base[cell], step, compared, most=MOST_ITEMS))
    return tuple(changes), common


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
    card = VariantCard(
        id=step.variant,
        name=step.name,
        trained_on=trained_on,
        size=step.size,
        seed=step.seed,
        recipe=step.recipe_card(),
        training={},
        facts=facts,
    )
    trained = next((made for made in with_inputs([step]) if isinstance(made, Finetune)), None)
    if isinstance(step, ClassifierVariant):
        learnt = step.log(store) if isinstance(step, Supervise) else {}
        return replace(card, training=learnt, is_classification=True, is_classifier=True)
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


def _provenance(study: Study, store: Store, command: str) -> dict[str, Any]:
    leaves = [*study.scores, *study.asked_otherwise, *study.models, *study.asked_beside, *study.validations]
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
