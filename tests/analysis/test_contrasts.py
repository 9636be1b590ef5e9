import numpy as np
import pytest

from spillover.analysis.cells import ResampledScore, ScoreKey
from spillover.analysis.contrasts import estimate, minus
from spillover.records import Cell


def score(value: float, replicates: list[float]) -> ResampledScore:
    return ResampledScore(value, np.array(replicates), (), np.zeros((0, 2)), np.zeros(0, dtype=np.intp))


A, B, C = (ScoreKey(name, Cell("t", 1, 0, 0), "accuracy") for name in "abc")
SCORES = {
    A: score(0.6, [0.5, 0.6, 0.7]),
    B: score(0.4, [0.6, 0.2, 0.4]),
    C: score(0.1, [0.1, 0.1, 0.1]),
}


def test_a_difference_is_paired_and_its_best_is_picked_anew_in_every_resample():
    found = estimate([minus([A, B], [C])], SCORES, level=0.5)
    picked = np.array([0.6, 0.6, 0.7]) - 0.1
    assert found.mean == pytest.approx(0.5)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(picked, [0.25, 0.75])))


def test_several_contrasts_are_averaged_resample_by_resample():
    found = estimate([minus([A], [B]), minus([B], [C])], SCORES, level=0.9)
    assert found.mean == pytest.approx((0.2 + 0.3) / 2)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile([0.2, 0.25, 0.3], [0.05, 0.95])))
    assert found.contrast_count == 2


def test_a_difference_of_differences_is_the_sum_of_both():
    found = estimate([(*minus([A], [B]), *minus([C], [B]))], SCORES, level=0.9)
    assert found.mean == pytest.approx(0.2 - 0.3)


def test_a_mean_over_nothing_is_refused():
    with pytest.raises(ValueError, match="a mean over no contrast has no value"):
        estimate([], SCORES, level=0.95)
