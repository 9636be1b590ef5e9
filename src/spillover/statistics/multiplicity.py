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
        both = zip(holm(p_values).tolist(), benjamini_hochberg(p_values).tolist(), strict=True)
        for index, (of_holm, of_bh) in zip(members, both, strict=True):
            rows[index] = replace(rows[index], holm_p_value=of_holm, bh_p_value=of_bh)
    return tuple(rows)


def holm(p_values: FloatArray) -> FloatArray:
    """Return p-values adjusted after Holm (1979), ``(n,)``: the chance of any false one below 5 % is 5 % at most."""
    order, count = np.argsort(p_values), len(p_values)
    stepped = np.maximum.accumulate(p_values[order] * (count - np.arange(count)))
    return np.asarray(stepped.clip(max=1)[np.argsort(order)], dtype=np.float64)


def benjamini_hochberg(p_values: FloatArray) -> FloatArray:
    """Return p-values adjusted after Benjamini and Hochberg (1995), ``(n,)``, by the expected share of false ones."""
    order, count = np.argsort(p_values), len(p_values)
    stepped = np.minimum.accumulate((p_values[order] * count / np.arange(1, count + 1))[::-1])[::-1]
    return np.asarray(stepped.clip(max=1)[np.argsort(order)], dtype=np.float64)
