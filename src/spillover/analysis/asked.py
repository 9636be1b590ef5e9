"""What asking otherwise did: each ask against the model's plain one and the base's, and what is compared by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from spillover.records import BASE, PLAIN, AskedBy, Cell, CellScores, StudyResults
from spillover.statistics.cells import ResampledScore, indexed, resampled
from spillover.statistics.inference import infer
from spillover.statistics.multiplicity import holm
from spillover.statistics.paired import difference

Kind = Literal["asking", "training", "named"]
"""What differs: how one model is asked; which model is asked, in the same way; what a study names."""


@dataclass(frozen=True, slots=True)
class AskedDifference:
    """A paired difference of two scores of which at least one is of another ask than the primary."""

    kind: Kind
    a: AskedBy
    b: AskedBy
    cell: Cell
    """Of ``a``."""
    metric: str
    a_value: float
    b_value: float
    difference: float
    """Of ``a`` less ``b``."""
    low: float | None
    high: float | None
    p_value: float | None
    item_count: int
    note: str = ""
    """Why there is no interval, or on what it rests."""
    holm_p_value: float | None = None
    """``p_value`` adjusted after Holm over these differences alone: asks have no place among the study's cells."""

    @property
    def is_clear(self) -> bool:
        """Whether the difference is significant at 5 % after the adjustment."""
        return self.holm_p_value is not None and self.holm_p_value < 0.05


Table = Mapping[tuple[str, Cell], CellScores]


def asked_differences(results: StudyResults, *, resample_count: int, level: float) -> tuple[AskedDifference, ...]:
    """Return what asking otherwise did in every cell, in the tasks' primary metrics.

    Raises:
        ValueError: If compared cells have other items than each other.
    """
    if not results.asked_otherwise and not results.compare:
        return ()
    primary = {task.name: task.primary_metric for task in results.tasks}
    own = [row for row in (*results.scores, *results.asked_otherwise) if row.metric == primary[row.cell.tested_on]]
    scores = resampled(results, indexed(results, own), resample_count=resample_count)
    found = {(key.variant, key.cell): score for key, score in scores.items()}
    pairs = dict.fromkeys(_pairs(results, found))
    return _adjusted([_compared(results, found, pair, primary, level) for pair in pairs])


Pair = tuple[Kind, AskedBy, AskedBy, Cell]


def _pairs(results: StudyResults, found: Mapping[tuple[str, Cell], ResampledScore]) -> Iterator[Pair]:
    """Yield what is compared; a cell that an ask leaves as it is is the plain cell, and is not compared with it."""
    for variant, cell in found:
        if cell.ask != PLAIN and cell not in results.unchanged and (variant, replace(cell, ask=PLAIN)) in found:
            yield "asking", AskedBy(variant, cell.ask), AskedBy(variant, PLAIN), cell
    for variant, cell in found:
        is_other = cell.ask != results.ask and cell not in results.unchanged
        if variant != BASE and is_other and (BASE, cell) in found:
            yield "training", AskedBy(variant, cell.ask), AskedBy(BASE, cell.ask), cell
    for a, b in results.compare:
        for variant, cell in found:
            if (variant, cell.ask) == (a.variant, a.ask) and (b.variant, replace(cell, ask=b.ask)) in found:
                yield "named", a, b, cell


def _compared(
    results: StudyResults,
    found: Mapping[tuple[str, Cell], ResampledScore],
    pair: Pair,
    primary: Mapping[str, str],
    level: float,
) -> AskedDifference:
    kind, a, b, cell = pair
    own, other = found[a.variant, cell], found[b.variant, replace(cell, ask=b.ask)]
    if own.example_ids != other.example_ids:
        raise ValueError(f"{a} and {b} on {cell.tested_on} were not asked the same items")
    metric = primary[cell.tested_on]
    told = infer([[(own, other)]], results.metrics[metric], level=level, margin=results.margin)
    values = (own.value, other.value, difference(own.value, other.value))
    return AskedDifference(
        kind, a, b, cell, metric, *values, told.low, told.high, told.p_value, len(own.example_ids), told.note
    )


def _adjusted(rows: list[AskedDifference]) -> tuple[AskedDifference, ...]:
    tested = [index for index, row in enumerate(rows) if row.p_value is not None]
    if tested:
        adjusted = holm(np.array([rows[index].p_value for index in tested], dtype=np.float64)).tolist()
        for index, p_value in zip(tested, adjusted, strict=True):
            rows[index] = replace(rows[index], holm_p_value=p_value)
    return tuple(rows)
