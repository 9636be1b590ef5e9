from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from spillover.records import Measurement
from spillover.statistics.multiplicity import adjusted
from tests.analysis.made_scores import task

ROW = Measurement("sft/home/8/0", "home", "home", "f", "in-domain", 1, 0, 0, "accuracy", 0.5, 0.5, 0.1, 0.0, 0.2, 100)


def test_the_primary_metrics_of_all_variants_and_cells_are_one_family() -> None:
    p_values = [0.01, 0.04, 0.03]
    rows = [replace(ROW, variant=f"sft/home/8/{index}", p_value=p) for index, p in enumerate(p_values)]
    found = adjusted(rows, [task("home")])
    # Holm: 3 * 0.01, then max(2 * 0.03, ...), then max(1 * 0.04, 0.06). BH: 0.01 * 3 / 1, min(0.03 * 3 / 2, 0.04).
    assert [row.holm_p_value for row in found] == pytest.approx([0.03, 0.06, 0.06])
    assert [row.bh_p_value for row in found] == pytest.approx([0.03, 0.04, 0.04])
    assert [row.is_clear for row in found] == [True, False, False]


def test_another_metric_is_a_family_of_its_own_and_rows_without_a_p_value_count_in_none() -> None:
    rows = [replace(ROW, p_value=0.04), replace(ROW, metric="brier", p_value=0.04), replace(ROW, variant="base")]
    found = adjusted(rows, [task("home")])
    assert [row.holm_p_value for row in found] == [pytest.approx(0.04), pytest.approx(0.04), None]
    assert not found[2].is_clear


def test_both_adjustments_of_a_large_family_with_ties_are_those_of_statsmodels() -> None:
    draws = np.random.default_rng(3).uniform(size=60).round(2) ** 3
    found = adjusted([replace(ROW, p_value=float(p)) for p in draws], [task("home")])
    assert [row.holm_p_value for row in found] == pytest.approx(multipletests(draws, method="holm")[1].tolist())
    assert [row.bh_p_value for row in found] == pytest.approx(multipletests(draws, method="fdr_bh")[1].tolist())
