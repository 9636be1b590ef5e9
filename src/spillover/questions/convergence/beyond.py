"""Tasks on which a tuned model is above the base's best at any shot count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.questions.convergence.reading import Answers
from spillover.questions.convergence.scores import Recipe, TaskPair
from spillover.statistics.gaffke import Confidence, combined
from spillover.statistics.inference import mean_of_units
from spillover.statistics.multiplicity import holm
from spillover.statistics.picked import lowest_of
from spillover.statistics.power import ALPHA
from spillover.statistics.resampled import MINIMUM_UNIT_COUNT


@dataclass(frozen=True, slots=True)
class Excess:
    """A task's tuned score less the base's best over shot counts."""

    task: str
    best_shots: int
    """Where the base's best was seen; the interval holds whichever it is."""
    value: float
    low: float | None
    """None of too few independent items."""
    high: float | None
    holm_p_value: float | None
    """Two-sided, adjusted over the tasks of the recipe."""

    @property
    def is_beyond(self) -> bool:
        """Whether the tuned model is shown to be above every shot count of the base."""
        return self.value > 0 and self.holm_p_value is not None and self.holm_p_value < ALPHA


def excesses(recipe: Recipe, *, level: float) -> tuple[Excess, ...]:
    """Return every task's excess, the largest first."""
    found = []
    for pair in recipe.pairs:
        parts = {shots: _less(pair, answers) for shots, answers in pair.base.items()}
        best = min(parts, key=lambda shots: parts[shots].value)
        found.append((pair, best, lowest_of(list(parts.values()))))
    told = [len(np.unique(pair.units)) >= MINIMUM_UNIT_COUNT for pair, _, _ in found]
    p_values = iter(holm(np.array([part.p_value for (_, _, part), is_in in zip(found, told, strict=True) if is_in])))
    rows = []
    for (pair, best, part), is_told in zip(found, told, strict=True):
        low, high = part.interval(level) if is_told else (None, None)
        p_value = float(next(p_values)) if is_told else None
        rows.append(Excess(pair.task.name, best, part.value, low, high, p_value))
    return tuple(sorted(rows, key=lambda row: -row.value))


def beyond(rows: Sequence[Excess]) -> tuple[str, ...]:
    """Return the tasks on which the tuned model is shown to exceed the base."""
    return tuple(row.task for row in rows if row.is_beyond)


def _less(pair: TaskPair, base: Answers) -> Confidence:
    """Return how far the tuned score less one of the base's may be off."""
    apart = pair.tuned.right.mean(axis=0) - base.right.mean(axis=0)
    weights = np.bincount(pair.units, weights=pair.weights)
    means = np.bincount(pair.units, weights=pair.weights * apart) / weights
    count = len(pair.units)
    item_count = None if len(weights) == count else count
    found, _ = mean_of_units(
        means.round(12).astype(np.float64), weights.astype(np.float64), lowest=-1.0, highest=1.0, item_count=item_count
    )
    return combined([found], [1 / (1 - pair.task.chance)])
