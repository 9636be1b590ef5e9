"""Adjusts p-values for how many comparisons a study makes, so that a star survives the size of the matrix."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spillover.records import Measurement, TaskCard


def adjusted(measurements: Sequence[Measurement], tasks: Sequence[TaskCard]) -> tuple[Measurement, ...]:
    """Return the measurements with the p-values of Holm (1979) and of Benjamini and Hochberg (1995).

    The report shows one matrix of every variant and cell, each cell by its task's primary metric: that is one family,
    over all variants of the study, because a reader's eye goes over all of it. Each other metric is a family of its
    own. Holm bounds the chance of any false star in a family, whatever the dependence of cells; the other bounds the
    expected share of false ones.
    """
    from scipy.stats import false_discovery_control

    primary = {task.name: task.primary_metric for task in tasks}
    families: dict[str, list[int]] = {}
    for index, row in enumerate(measurements):
        if row.p_value is not None:
            family = "" if row.metric == primary[row.tested_on] else row.metric
            families.setdefault(family, []).append(index)
    rows = list(measurements)
    for members in families.values():
        p_values = np.array([rows[index].p_value for index in members])
        for index, holm, bh in zip(members, _holm(p_values), false_discovery_control(p_values).tolist(), strict=True):
            rows[index] = replace(rows[index], holm_p_value=holm, bh_p_value=bh)
    return tuple(rows)


def _holm(p_values: np.ndarray) -> list[float]:
    """Return the adjusted p-values: of m, the i-th smallest times m + 1 - i, none below a smaller one's, at most 1."""
    order = np.argsort(p_values, kind="stable")
    adjusted_values = np.empty(len(p_values))
    adjusted_values[order] = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1)).clip(max=1)
    return [float(value) for value in adjusted_values]
