import numpy as np
import pytest

from spillover.evaluation.choice import Scoring
from spillover.evaluation.metrics import METRICS, statistics
from spillover.questions.receipts.confidence import before_scaling, calibration_error, confidence_bins
from spillover.records import CALIBRATION_ERROR, Prediction
from spillover.steps.verdicts import Shares
from spillover.training.supervised import log_shares

DRAW = np.random.default_rng(2)
LABELS = ("up", "no", "so")


def test_the_calibration_error_is_that_of_the_metric():
    shares = DRAW.dirichlet([0.5] * 3, size=200)
    targets = [LABELS[index] for index in DRAW.integers(3, size=200)]
    predictions = [
        Prediction(str(index), target, LABELS[int(row.argmax())], tuple(np.log(row)))
        for index, (row, target) in enumerate(zip(shares, targets, strict=True))
    ]
    wanted = METRICS[CALIBRATION_ERROR].card.combine(
        statistics(CALIBRATION_ERROR, predictions, Scoring(answers=LABELS)).sum(axis=0)
    )
    right = np.array([LABELS[index] for index in shares.argmax(axis=1)]) == targets
    assert calibration_error(tuple(shares.max(axis=1)), right.astype(float)) == pytest.approx(float(wanted))


def test_what_is_sure_of_everything_and_right_half_of_the_time_is_off_by_a_half():
    assert calibration_error((1.0,) * 4, np.array([1.0, 0, 1, 0])) == 0.5
    assert calibration_error((0.75,) * 4, np.array([1.0, 1, 1, 0])) == 0


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_shares_before_a_temperature_are_the_softmax_of_the_logits(temperature):
    logits = DRAW.normal(size=(30, 3)) * 2
    scaled = Shares(LABELS, np.exp(log_shares(logits, temperature)))
    plain = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(before_scaling(scaled, temperature), plain.max(axis=1), atol=1e-9)


def test_every_item_is_in_the_bin_of_its_confidence():
    confidence = (0.4, 0.5, 0.59, 0.6, 0.95, 1.0)
    values = {name: np.array(row, float) for name, row in (("classifier", [1, 0, 1, 1, 1, 0]), ("alone", [0] * 6))}
    found = confidence_bins(confidence, **values, together=np.ones(6), overrides=np.array([0, 1, 1, 0, 0, 1.0]))
    assert [(row.low, row.high, row.item_count) for row in found] == [
        *((0.0, 0.5, 1), (0.5, 0.6, 2), (0.6, 0.7, 1), (0.9, 1.0, 2)),
    ]
    assert [row.classifier for row in found] == [1, 0.5, 1, 0.5]
    assert [row.override_count for row in found] == [0, 2, 0, 1]
    assert {(row.alone, row.together) for row in found} == {(0, 1)}
