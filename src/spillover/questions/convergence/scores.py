"""Chance-normalised balanced scores of one recipe and the base on every choice task, and how noisy they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spillover.questions.convergence.reading import Answers, ChoiceTask, joined
from spillover.records import BASE, FloatArray, StudyResults


@dataclass(frozen=True, slots=True, eq=False)
class TaskPair:
    """One task: what the base and one recipe, over all its training seeds, answered under one scoring."""

    task: ChoiceTask
    units: NDArray[np.intp]
    """``(items,)``: which source it has; items that share one are not independent."""
    base: Mapping[int, Answers]
    """Shot count to answers."""
    tuned: Answers
    """Without demonstrations."""
    is_seen: bool | None = None
    """Whether its family was trained on; None where nobody knows."""

    @property
    def most_shots(self) -> int:
        """The shot count that stands for in-context learning: the largest, so that none is picked by its score."""
        return max(self.base)

    @property
    def weights(self) -> FloatArray:
        """Each item's share in balanced accuracy, ``(items,)``: every target weighs the same."""
        counts = np.bincount(self.task.classes)
        return np.asarray(1 / (counts[self.task.classes] * np.count_nonzero(counts)), dtype=np.float64)

    def score(self, answers: Answers) -> float:
        """Return balanced accuracy less chance, as a part of what is above chance: 0 guesses, 1 is always right."""
        balanced = float(self.weights @ answers.right.mean(axis=0))
        return (balanced - self.task.chance) / (1 - self.task.chance)

    def noise(self, models: Sequence[Answers]) -> FloatArray:
        """Return the covariance of scores over other items, ``(k, k)``, items of one source together.

        Of a mean of each target's share of right answers, linearised: sums of squares of ``w * (right - share)``.
        """
        columns = [answers.right.mean(axis=0) for answers in models]
        counts = np.bincount(self.task.classes).clip(min=1)
        apart = [
            self.weights * (right - (np.bincount(self.task.classes, weights=right) / counts)[self.task.classes])
            for right in columns
        ]
        sums = np.stack([np.bincount(self.units, weights=part) for part in apart])
        count = int(np.count_nonzero(np.bincount(self.units)))
        return np.asarray(sums @ sums.T * count / max(1, count - 1) / (1 - self.task.chance) ** 2, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """The variants that differ in nothing but their training seed, on every choice task that all of them answered."""

    name: str
    variants: tuple[str, ...]
    scoring: str
    pairs: tuple[TaskPair, ...]

    @property
    def families(self) -> NDArray[np.intp]:
        """Number of each task's family, ``(tasks,)``."""
        return np.unique([pair.task.family for pair in self.pairs], return_inverse=True)[1].astype(np.intp)

    @property
    def tuned(self) -> FloatArray:
        """Scores of the recipe, ``(tasks,)``."""
        return np.array([pair.score(pair.tuned) for pair in self.pairs])

    @property
    def zero_shot(self) -> FloatArray:
        """Scores of the base without demonstrations, ``(tasks,)``."""
        return np.array([pair.score(pair.base[0]) for pair in self.pairs])

    @property
    def in_context(self) -> FloatArray:
        """Scores of the base at the largest shot count of each task, ``(tasks,)``."""
        return np.array([pair.score(pair.base[pair.most_shots]) for pair in self.pairs])

    def rows(self, chosen: Sequence[bool]) -> Recipe:
        """Return the recipe on some of its tasks."""
        return replace(self, pairs=tuple(pair for pair, is_in in zip(self.pairs, chosen, strict=True) if is_in))


def recipe_on(
    name: str,
    variants: Sequence[str],
    scoring: str,
    tasks: Sequence[ChoiceTask],
    results: StudyResults,
    *,
    seen: frozenset[str] | None,
) -> Recipe:
    """Return what variants of one recipe answered; ``seen`` are the families that were trained on, if known."""
    sources = {
        row.cell.tested_on: dict(zip(row.example_ids, row.groups, strict=True)) for row in results.scores if row.groups
    }
    pairs = []
    for task in tasks:
        if all((variant, 0, scoring) in task.answers for variant in variants):
            own = [task.answers[variant, 0, scoring] for variant in variants]
            group_of = sources.get(task.name, {})
            units = np.unique([group_of.get(each) or f"/{each}" for each in task.example_ids], return_inverse=True)[1]
            base = {shots: task.answers[BASE, shots, scoring] for shots in task.shots}
            is_seen = None if seen is None else task.family in seen
            pairs.append(TaskPair(task, units.astype(np.intp), base, joined(own), is_seen))
    return Recipe(name, tuple(variants), scoring, tuple(pairs))
