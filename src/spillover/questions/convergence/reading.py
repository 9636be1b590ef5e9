"""What base and variants answered to the items of every choice task, read from a finished study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spillover.evaluation.choice import Scoring, ScoringKind, answer_scores, answers_of, chosen_answer, of_cell
from spillover.records import BASE, FloatArray, Prediction
from spillover.steps.cell_steps import ScoreCell
from spillover.store.store import Store
from spillover.study.study import Study

SCORINGS: tuple[ScoringKind, ...] = ("batch", "raw")
"""The question's own first: raw, a small model mostly says one label (sheet inherent-limits, section 11)."""

LEAST_TASKS = 8
"""Choice tasks from which on anything is said."""

Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a model answered to a task's items at one shot count, cell by cell, under one scoring."""

    right: Booleans
    """``(cells, items)``: whether the answer is the target; cells are prompt forms and demonstration seeds."""
    gold: FloatArray
    """``(cells, items)``: log of the target's share among the answers, in nats."""
    entropy: float
    """Of the shares, mean over items and cells, as a part of the largest there can be."""


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceTask:
    """A task whose items are chosen from answers, and what base and variants answered."""

    name: str
    family: str
    example_ids: tuple[str, ...]
    classes: NDArray[np.intp]
    """``(items,)``: which target it is, where one answer set holds for all; else 0."""
    chance: float
    """Balanced accuracy of knowing nothing."""
    answers: Mapping[tuple[str, int, str], Answers]
    """(model, shots, scoring) to its answers: the base at every shot count, variants at 0."""

    @property
    def shots(self) -> tuple[int, ...]:
        """The base's shot counts, rising."""
        return tuple(sorted({shots for model, shots, _ in self.answers if model == BASE}))


def joined(answers: Sequence[Answers]) -> Answers:
    """Return the answers of several cells as one."""
    return Answers(
        np.concatenate([each.right for each in answers]),
        np.concatenate([each.gold for each in answers]),
        float(np.mean([each.entropy for each in answers])),
    )


def choice_tasks(study: Study, store: Store) -> tuple[ChoiceTask, ...]:
    """Return every task that is a choice and that the base was asked with and without demonstrations."""
    if len(study.test_on) < LEAST_TASKS:
        return ()
    wanted = [
        step
        for step in study.scores
        if store.has(step) and (step.predictions.variant is None or step.predictions.cell.shots == 0)
    ]
    found = []
    for task in study.test_on:
        steps = [step for step in wanted if step.predictions.cell.tested_on == task.name]
        shots = {step.predictions.cell.shots for step in steps if step.predictions.variant is None}
        read = _task(task.name, task.family, steps, store) if 0 in shots and len(shots) > 1 else None
        found += [read] if read else []
    return tuple(found) if len(found) >= LEAST_TASKS else ()


def _task(name: str, family: str, steps: Sequence[ScoreCell], store: Store) -> ChoiceTask | None:
    """Return a task's items and answers; None where they are no choice, or where every target is the same.

    Args:
        name: Of the task.
        family: Of the task.
        steps: Its finished cells, the base's first.
        store: Where they are finished.
    """
    given: list[tuple[ScoreCell, dict[str, Prediction]]] = []
    for step in steps:
        predictions = step.predictions.answered(store)
        if all(_is_choice(prediction, step.rule) for prediction in predictions):
            given.append((step, {prediction.example_id: prediction for prediction in predictions}))
        elif not given:
            return None
    first = given[0][1]
    ids = [each for each in first if all(each in rows for _, rows in given)]
    has_one_set = bool(steps[0].rule.answers)
    labels = [first[each].target if has_one_set else "" for each in ids]
    classes = np.unique(labels, return_inverse=True)[1].astype(np.intp)
    sizes = [len(set(labels)) if has_one_set else len(first[each].log_likelihoods) for each in ids]
    chance = float(np.mean([1 / size for size in sizes])) if ids else 1.0
    if chance == 1:
        return None
    answers: dict[tuple[str, int, str], list[Answers]] = {}
    for step, rows in given:
        for scoring in SCORINGS:
            key = step.predictions.model, step.predictions.cell.shots, scoring
            answers.setdefault(key, []).append(_of_cell([rows[each] for each in ids], step.rule, scoring))
    return ChoiceTask(name, family, tuple(ids), classes, chance, {key: joined(own) for key, own in answers.items()})


def _is_choice(prediction: Prediction, rule: Scoring) -> bool:
    answers = prediction.options or rule.answers
    return 1 < len(answers) == len(prediction.log_likelihoods) and prediction.target in answers


def _of_cell(predictions: Sequence[Prediction], rule: Scoring, scoring: ScoringKind) -> Answers:
    """Return what one cell comes to; what an answer's share is on average needs the same answers in every row."""
    has_one_set = bool(rule.answers) and not any(prediction.options for prediction in predictions)
    rule = of_cell(replace(rule, kind=scoring if has_one_set else "raw"), predictions)
    right, gold, entropy = [], [], []
    for prediction in predictions:
        scores = answer_scores(prediction, rule)
        logs = scores - np.logaddexp.reduce(scores)
        gold.append(logs[list(answers_of(prediction, rule)).index(prediction.target)])
        right.append(chosen_answer(prediction, rule) == prediction.target)
        entropy.append(-float(np.exp(logs) @ logs) / float(np.log(len(logs))))
    return Answers(np.array([right]), np.array([gold], dtype=np.float64), float(np.mean(entropy)))
