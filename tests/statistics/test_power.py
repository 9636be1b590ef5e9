import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats.power import TTestPower

from spillover.statistics.gaffke import gaffke
from spillover.statistics.power import (
    AskedItems,
    TaskLimit,
    detectable_difference,
    fewest_items,
    items_factor,
    items_to_show,
    limits,
    macro_factor,
    smallest_margin,
)
from tests.analysis.simulated import right_or_wrong, simulate


def test_one_cell_agrees_with_the_power_of_a_paired_t_test() -> None:
    found = detectable_difference([AskedItems(200, 1, 0.5)])
    deviation = np.sqrt(2 * (1 - 0.6)) * 0.5
    assert found == pytest.approx(deviation * TTestPower().solve_power(nobs=200, alpha=0.05, power=0.8), rel=0.01)


def test_the_difference_is_found_in_four_of_five_simulated_studies() -> None:
    # Right-or-wrong items of which one in five changes: 0.5 deviation and 0.6 correlation.
    found = detectable_difference([AskedItems(200, 1, 0.5), AskedItems(100, 1, 0.5)])
    design = [right_or_wrong(count, (0.2 + found) / 2, (0.2 - found) / 2) for count in (200, 100)]
    # Cells weigh the same, items of the smaller task more; the interval's imagined item costs some power too.
    # Binomial(800, 0.8) lies within 0.037 of 0.8 with probability 0.99.
    power = simulate(design, count=800).today.significant
    assert 0.8 - 0.08 <= power <= 0.8 + 0.037


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


def test_a_margin_takes_as_many_items_as_make_no_change_in_any_unlikely_enough() -> None:
    # 0.98 ** 148 = 0.0503 and 0.98 ** 149 = 0.0493; 0.95 ** 58 = 0.0510 and 0.95 ** 59 = 0.0485.
    assert (fewest_items(0.02), fewest_items(0.05)) == (149, 59)
    assert fewest_items(0.5, level=0.25) == 2  # 0.5 ** 2 is the level itself
    assert fewest_items(0.99) == 1


@pytest.mark.parametrize("margin", [0.01, 0.02, 0.037, 0.05, 0.1, 0.3])
def test_the_exact_interval_of_no_change_excludes_the_margin_from_the_fewest_items_on(margin: float) -> None:
    fewest = fewest_items(margin)
    for count, excludes in ((fewest - 1, False), (fewest, True)):
        # Both ends at 5 %, as one-sided bounds.
        assert (binomtest(0, count).proportion_ci(0.9, "exact").high <= margin) is excludes
        assert (smallest_margin(count) <= margin) is excludes
    low = gaffke(np.zeros(fewest), np.full(fewest, 1 / fewest), lowest=-1.0, highest=1.0).lower(0.95)
    assert -low == pytest.approx(smallest_margin(fewest), rel=0.015)


def _power(count: int, changed: float, margin: float, study_count: int = 2000) -> float:
    """Return how often studies in which nothing is lost show it, by a bound that imagines one more item lost."""
    draws = np.random.default_rng(0)
    shown: dict[tuple[int, int], bool] = {}
    found = 0
    for gained, lost, same in draws.multinomial(count, [changed / 2, changed / 2, 1 - changed], size=study_count):
        if (gained, lost) not in shown:
            shares = draws.dirichlet([gained + 1e-12, lost + 1, same + 1e-12], size=3000)
            shown[gained, lost] = bool(np.quantile(shares[:, 0] - shares[:, 1], 0.05) > -margin)
        found += shown[gained, lost]
    return found / study_count


@pytest.mark.parametrize(("margin", "changed"), [(0.05, 0.2), (0.02, 0.05), (0.1, 0.1)])
def test_the_items_it_takes_show_that_nothing_was_lost_in_four_of_five_studies(margin: float, changed: float) -> None:
    # Binomial(2000, 0.8) lies within 0.023 of 0.8 with probability 0.99; the formula itself is 0.01 to 0.02 below.
    assert _power(items_to_show(margin, changed), changed, margin) == pytest.approx(0.79, abs=0.03)


def test_the_items_it_takes_are_those_of_the_formula() -> None:
    assert (items_to_show(0.02), items_to_show(0.05)) == (3194, 537)
    # The textbook's 0.2 * (2.4865 / margin) ** 2 and what the imagined item adds, about 2 / margin.
    assert items_to_show(0.02) == pytest.approx(0.2 * (2.4865 / 0.02) ** 2 + 2 / 0.02, rel=0.002)
    assert items_to_show(0.05) == pytest.approx(0.2 * (2.4865 / 0.05) ** 2 + 2 / 0.05, rel=0.01)
    assert items_to_show(0.02, changed=0) == 149
    assert items_to_show(0.02, power=0.9) > items_to_show(0.02)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"margin": 0}, "margin is 0; expected a share above 0 and below 1"),
        ({"margin": 2}, "margin is 2; expected a share above 0 and below 1"),
        ({"margin": 0.02, "changed": 1.5}, "changed is 1.5; expected a share from 0 to 1"),
        ({"margin": 0.02, "power": 1}, "power is 1; expected a share above 0 and below 1"),
    ],
)
def test_what_is_no_share_is_refused(given: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        items_to_show(**given)


def test_a_task_can_show_a_margin_from_the_fewest_items_on() -> None:
    assert limits({"siqa": 148, "snli": 149}, 0.02) == (
        TaskLimit("siqa", 148, 149, can_show=False),
        TaskLimit("snli", 149, 149, can_show=True),
    )
