"""Adjusts p-values for how many comparisons a study makes, so that a star survives the size of the matrix."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from spillover.records import Measurement, TaskCard


def adjusted(measurements: Sequence[Measurement], tasks: Sequence[TaskCard]) -> tuple[Measurement, ...]:
    """Return the measurements with the p-values of Holm (1979) and of Benjamini and Hochberg (1995).

    The report shows one matrix of every variant and cell, each cell by its task's primary metric: that is one family,
    over all variants of the study, because a reader's eye goes over all of it. Each other metric is a family of its
    own. Holm bounds the chance of any false star in a family, whatever the dependence of cells; the other bounds the
    expected share of false ones.
    """
    from statsmodels.stats.multitest import multipletests

    primary = {task.name: task.primary_metric for task in tasks}
    families: dict[str, list[int]] = {}
    for index, row in enumerate(measurements):
        if row.p_value is not None:
            family = "" if row.metric == primary[row.tested_on] else row.metric
            families.setdefault(family, []).append(index)
    rows = list(measurements)
    for members in families.values():
        p_values = [rows[index].p_value for index in members]
        found: Mapping[str, Sequence[float]] = {
            method: multipletests(p_values, method=method)[1].tolist() for method in ("holm", "fdr_bh")
        }
        for index, holm, bh in zip(members, found["holm"], found["fdr_bh"], strict=True):
            rows[index] = replace(rows[index], holm_p_value=holm, bh_p_value=bh)
    return tuple(rows)
