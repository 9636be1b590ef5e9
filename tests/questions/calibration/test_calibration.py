from dataclasses import replace

import numpy as np
import pytest

from spillover.evaluation.choice import Scoring
from spillover.evaluation.label_metrics import calibration_gaps
from spillover.questions.calibration.reliability import reliabilities
from spillover.records import BASE, Cell, CellScores, Prediction
from tests.report.made_results import made_results

RESULTS = made_results()


def with_gaps(*cells: np.ndarray):
    rows = tuple(
        CellScores(BASE, Cell("amazon", 1, shots, 0), "ece", tuple(map(str, range(len(gaps)))), gaps)
        for shots, gaps in enumerate(cells)
    )
    return reliabilities(replace(RESULTS, scores=rows))


def predictions(*choices: tuple[float, bool]) -> list[Prediction]:
    """Choices between two answers, each of a confidence and right or wrong."""
    return [
        Prediction("row", "yes" if right else "no", "yes", (float(np.log(share)), float(np.log1p(-share))))
        for share, right in choices
    ]


def test_confidence_and_accuracy_are_recovered_from_the_gaps_of_real_predictions():
    rows = predictions((0.9, True), (0.91, False), (0.92, True), (0.55, False))
    (found,) = with_gaps(calibration_gaps(rows, Scoring(answers=("yes", "no"))))
    assert [entry.item_count for entry in found.bins] == [1, 3]
    assert [entry.accuracy for entry in found.bins] == pytest.approx([0, 2 / 3])
    assert [entry.confidence for entry in found.bins] == pytest.approx([0.55, 0.91])
    assert found.error == pytest.approx((0.55 + 3 * abs(0.91 - 2 / 3)) / 4)


def test_a_certain_right_choice_is_in_the_last_bin():
    gaps = np.zeros((3, 16))
    gaps[:, -1] = 1
    gaps[2, 14] = 1.0  # certain and wrong
    (found,) = with_gaps(gaps)
    assert [(entry.confidence, entry.accuracy, entry.item_count) for entry in found.bins] == [(1, 2 / 3, 3)]


def test_the_items_of_all_cells_count_the_same():
    gaps = np.zeros((2, 2, 16))
    gaps[:, :, -1] = 1
    gaps[0, :, 9] = -0.4
    gaps[1, :, 9] = 0.6
    (found,) = with_gaps(gaps[0], gaps[1])
    assert [(entry.accuracy, entry.item_count) for entry in found.bins] == [(0.5, 4)]
    assert found.bins[0].confidence == pytest.approx(0.6)


def test_a_study_without_choices_has_no_reliability():
    assert with_gaps() == ()
