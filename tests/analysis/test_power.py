import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from spillover.analysis.power import AskedItems, detectable_difference, items_factor, macro_factor
from tests.analysis.simulated import binary, worlds


def test_one_cell_agrees_with_the_power_of_a_paired_t_test() -> None:
    found = detectable_difference([AskedItems(200, 1, 0.5)])
    deviation = np.sqrt(2 * (1 - 0.6)) * 0.5
    assert found == pytest.approx(deviation * TTestPower().solve_power(nobs=200, alpha=0.05, power=0.8), rel=0.01)


def test_the_difference_is_found_in_four_of_five_simulated_studies() -> None:
    # Right-or-wrong items of which one in five changes: 0.5 deviation and 0.6 correlation.
    found = detectable_difference([AskedItems(200, 1, 0.5), AskedItems(100, 1, 0.5)])
    design = [binary(count, (0.2 + found) / 2, (0.2 - found) / 2) for count in (200, 100)]
    # Binomial(600, 0.8) lies within 0.042 of 0.8 with probability 0.99.
    assert worlds(design, found, count=600, resample_count=500).significant == pytest.approx(0.8, abs=0.045)


def test_more_cells_of_the_same_items_help_less_than_more_items() -> None:
    one, cells, items = (
        detectable_difference([AskedItems(count, cell_count, 0.5)])
        for count, cell_count in ((100, 1), (100, 2), (200, 1))
    )
    assert items < cells < one
    # Two cells whose differences correlate by 0.5 have 0.75 of the variance of one.
    assert cells == pytest.approx(one * np.sqrt(0.75))


def test_the_items_it_takes_show_what_was_wanted() -> None:
    few = detectable_difference([AskedItems(100, 2, 0.5)])
    enough = round(100 * items_factor(few))
    assert detectable_difference([AskedItems(enough, 2, 0.5)]) == pytest.approx(0.05, rel=0.01)


def test_items_that_share_sources_tell_less_than_independent_ones() -> None:
    few, sources = AskedItems(120, 1, 0.5), AskedItems(120, 1, 0.5, (2, 4) * 20)
    draws = np.random.default_rng(0)
    shared = draws.normal(0, np.sqrt(0.1), (20000, 40)).repeat(sources.source_sizes, axis=1)
    together = (shared + draws.normal(0, np.sqrt(0.9), (20000, 120))).mean(axis=1).var() * 120
    assert sources.design_effect == pytest.approx(together, rel=0.04)
    # What Student's t adds for 40 sources in place of 120 items is less than a twentieth.
    ratio = detectable_difference([sources]) / detectable_difference([few])
    assert np.sqrt(sources.design_effect) < ratio < 1.05 * np.sqrt(sources.design_effect)


def test_a_mean_over_labels_varies_with_the_rare_one() -> None:
    assert macro_factor({"a": 30, "b": 30, "c": 30}) == pytest.approx(1)
    right = np.random.default_rng(0).random((20000, 100)) < 0.5
    macro_recall = (right[:, :95].mean(axis=1) + right[:, 95:].mean(axis=1)) / 2
    found = macro_factor({"common": 95, "rare": 5})
    assert found == pytest.approx(macro_recall.std() / right.mean(axis=1).std(), rel=0.02)
    assert found > 2
