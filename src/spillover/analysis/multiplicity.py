"""Adjusts p-values for how many comparisons a study makes, so that a star survives the size of the matrix."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spillover.records import FloatArray, Measurement, TaskCard


def adjusted(measurements: Sequence[Measurement], tasks: Sequence[TaskCard]) -> tuple[Measurement, ...]:
    """Return the measurements with the p-values of Holm (1979) and of Benjamini and Hochberg (1995).

    The report shows one matrix of every variant and cell, each cell by its task's primary metric: that is one family,
    over all variants of the study, because a reader's eye goes over all of it. Each other metric is a family of its
    own. Holm bounds the chance of any false star in a family, whatever the dependence of cells; the other bounds the
    expected share of false ones.
    """
    primary = {task.name: task.primary_metric for task in tasks}
    families: dict[str, list[int]] = {}
    for index, row in enumerate(measurements):
        if row.p_value is not None:
            family = "" if row.metric == primary[row.tested_on] else row.metric
            families.setdefault(family, []).append(index)
    rows = list(measurements)
    for members in families.values():
        p_values = np.array([rows[index].p_value for index in members], dtype=np.float64)
        both = _adjusted_p_values(p_values)
        for index, holm, bh in zip(members, *(values.tolist() for values in both), strict=True):
            rows[index] = replace(rows[index], holm_p_value=holm, bh_p_value=bh)
    return tuple(rows)


def _adjusted_p_values(p_values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return those of Holm, and of Benjamini and Hochberg, ``(n,)`` each, in the order of ``p_values``."""
    order, count = np.argsort(p_values), len(p_values)
    rising, ranks, back = p_values[order], np.arange(1, count + 1), np.argsort(order)
    holm = np.maximum.accumulate(rising * (count + 1 - ranks))
    bh = np.minimum.accumulate((rising * count / ranks)[::-1])[::-1]
    return holm.clip(max=1)[back], bh.clip(max=1)[back]
