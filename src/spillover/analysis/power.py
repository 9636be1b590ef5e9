"""The smallest difference a design can detect, before anything has been run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from spillover.analysis.resampled import degrees_of_freedom

ALPHA = 0.05
POWER = 0.8
"""Chance of a significant difference, two-sided at `ALPHA`, where the true one is just detectable."""

ANSWER_DEVIATION = 0.5
"""Of items that are right or wrong, half of them right: no share varies more."""

OVERLAP_DEVIATION = 0.2
"""Of scores between 0 and 1 of generated text, such as ROUGE-L."""

MODEL_CORRELATION = 0.6
"""Of base and variant on the same item. With `ANSWER_DEVIATION` one answer in five changes from right to wrong or back:
twice ``0.5 ** 2 * (1 - 0.6)``."""

CELL_CORRELATION = 0.5
"""Of an item's differences in two cells, such as at 0 and at 2 shots."""

SOURCE_CORRELATION = 0.1
"""Of the differences of two items that share a source; our choice."""

WANTED = 0.05
"""A difference worth knowing of; suggestions say how many rows show it."""


@dataclass(frozen=True, slots=True)
class AskedItems:
    """What a design asks of one task."""

    item_count: int
    cell_count: int
    """Shots, prompt forms and demonstration seeds at which each item is asked."""
    item_deviation: float
    """Standard deviation over items of a model's score."""
    source_sizes: tuple[int, ...] = ()
    """Items of each source that items share; empty where every item has its own."""

    @property
    def unit_count(self) -> int:
        """Independent items, or sources of items."""
        return len(self.source_sizes) or self.item_count

    @property
    def design_effect(self) -> float:
        """How many times the variance is that of as many independent items (Kish 1965, section 5.4)."""
        together = sum(size**2 for size in self.source_sizes) / self.item_count if self.source_sizes else 1.0
        return 1 + (together - 1) * SOURCE_CORRELATION


def detectable_difference(tasks: Sequence[AskedItems]) -> float:
    """Return the true mean difference over all cells that a paired test finds with `POWER`.

    ``(t(1 - ALPHA / 2) + t(POWER)) * standard error``, for one test that nothing is adjusted for. Tasks have items of
    their own; within a task the cells of an item go together, and the
    items of a source somewhat.
    """
    weights = np.array([task.cell_count for task in tasks], dtype=np.float64)
    weights /= weights.sum()
    variances = weights**2 * np.array([_variance(task) for task in tasks])
    freedom = degrees_of_freedom(variances, np.array([max(1.0, task.unit_count - 1.0) for task in tasks]))
    return float((stdtrit(freedom, 1 - ALPHA / 2) + stdtrit(freedom, POWER)) * np.sqrt(variances.sum()))


def items_factor(detectable: float, wanted: float = WANTED) -> float:
    """Return how many times as many items of each task bring the detectable difference down to ``wanted``."""
    return (detectable / wanted) ** 2


def macro_factor(label_counts: Mapping[str, int]) -> float:
    """Return how many times the deviation of accuracy is that of a mean over labels, such as macro-F1.

    A label's own score varies with the items of that label alone: ``sqrt(mean over labels of n / (labels * count))``,
    as for the mean of each label's recall. It is 1 for labels of equal counts.
    """
    counts = np.array(list(label_counts.values()), dtype=np.float64)
    return float(np.sqrt(np.mean(counts.sum() / (len(counts) * counts))))


def _variance(task: AskedItems) -> float:
    """Return the variance of a task's mean difference."""
    of_cell = 2 * (1 - MODEL_CORRELATION) * task.item_deviation**2
    of_item = of_cell * (1 + (task.cell_count - 1) * CELL_CORRELATION) / task.cell_count
    return of_item * task.design_effect / task.item_count
