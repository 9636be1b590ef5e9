"""The smallest difference a design can detect and what it can never show, before anything has been run."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spillover.statistics.distributions import ndtri, stdtrit
from spillover.statistics.resampled import degrees_of_freedom

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

CHANGED = 0.2
"""Of answers that differ between base and variant: what `ANSWER_DEVIATION` and `MODEL_CORRELATION` come to."""

MOST_ITEMS = 10**12
"""Where looking for a number of items ends: a margin of a millionth takes fewer."""


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


@dataclass(frozen=True, slots=True)
class TaskLimit:
    """Whether a task can ever show that less than a margin was lost."""

    name: str
    unit_count: int
    """Independent items, or sources of items."""
    fewest: int
    """Independent items that it takes at least: `fewest_items`."""
    can_show: bool
    """Whether it has so many; sources of unequal sizes have a wider interval and take some more."""


def fewest_items(margin: float, level: float = ALPHA) -> int:
    """Return how many independent items could show, if none changed, that less than a margin was lost.

    Fewer never can, whatever they answer. The one-sided bound on the loss allows for one imagined item that changed as
    much as can be (`analysis.gaffke`); of ``n`` unchanged items it is ``1 - level ** (1 / n)``, which is Clopper
    and Pearson's (1934). So it takes the smallest ``n`` with ``(1 - margin) ** n <= level``: 149 for 0.02, 59 for 0.05.

    Args:
        margin: Share, above 0 and below 1.
        level: Of the one-sided test.

    Raises:
        ValueError: If margin or level is no share.
    """
    _require_share(margin=margin, level=level)
    return max(1, math.ceil(math.log(level) / math.log1p(-margin) - 1e-9))  # 1e-9: logarithms are rounded


def smallest_margin(unit_count: int, level: float = ALPHA) -> float:
    """Return the margin for which so many independent items are the fewest: `fewest_items` the other way round."""
    _require_share(level=level)
    return float(1 - level ** (1 / unit_count))


def items_to_show(margin: float, changed: float = CHANGED, power: float = POWER, level: float = ALPHA) -> int:
    """Return how many independent items show with ``power`` that less than a margin was lost, where nothing was.

    Of right or wrong answers of which a share ``changed`` differs, half of them gained. The smallest ``n`` with::

        margin * n >= 1 + z(1 - level) * sqrt(changed * n + 1) + z(power) * sqrt(changed * n)

    in items: the imagined one that the bound allows for (`analysis.gaffke`), the spread of the bound, to which
    that one adds, and the spread of what is gained less what is lost. Without the imagined item it is the textbook's
    ``changed * ((z(1 - level) + z(power)) / margin) ** 2`` (Liu et al. 2002, "Tests for equivalence or non-inferiority
    for paired binary data"), 3,092 in place of 3,194 for 0.02, with which that bound has a power of 0.78. In
    simulations the power is within 0.02 of 0.8, and within 0.04 where one item in a hundred changes. Never fewer than
    `fewest_items`.

    Raises:
        ValueError: If margin, power or level is no share, or ``changed`` does not lie between 0 and 1.
    """
    _require_share(margin=margin, power=power, level=level)
    if not 0 <= changed <= 1:
        raise ValueError(f"changed is {changed}; expected a share from 0 to 1")
    bound, study = float(ndtri(1 - level)), float(ndtri(power))

    def shows(count: int) -> bool:
        spread = bound * math.sqrt(changed * count + 1) + study * math.sqrt(changed * count)
        return margin * count >= 1 + spread

    return max(fewest_items(margin, level), bisect_left(range(MOST_ITEMS), True, key=shows))


def limits(tasks: Mapping[str, int], margin: float) -> tuple[TaskLimit, ...]:
    """Return for each task, of so many independent items, whether it can ever show that less than a margin was lost."""
    fewest = fewest_items(margin)
    return tuple(TaskLimit(name, count, fewest, count >= fewest) for name, count in tasks.items())


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


def _require_share(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 < share < 1:
            raise ValueError(f"{name} is {share}; expected a share above 0 and below 1")
