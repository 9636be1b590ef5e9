import numpy as np
import pytest

from spillover.evaluation.choice import Scoring
from spillover.evaluation.metrics import LOSSES, METRICS, statistics
from spillover.records import Prediction

ANSWERS = ("yes", "no", "maybe")
SCORING = Scoring(answers=ANSWERS)
NAMES = ["macro_f1", "weighted_f1", "mcc", "ece", "brier", *LOSSES]


def made(count=60, seed=0, classes=3):
    """Random predictions whose answers are right a little more often than by chance."""
    draw = np.random.default_rng(seed)
    predictions = []
    for index in range(count):
        target = int(draw.integers(classes))
        scores = draw.normal(-2, 1, 3) + 0.7 * np.eye(3)[target]
        prior = draw.dirichlet([1, 1, 1])
        predictions.append(
            Prediction(
                str(index),
                ANSWERS[target],
                ANSWERS[int(scores.argmax())],
                tuple(map(float, scores)),
                content_free=tuple(map(float, np.log(prior))),
            )
        )
    return predictions


def value(metric, predictions, scoring=SCORING):
    return float(METRICS[metric].card.combine(statistics(metric, predictions, scoring).sum(axis=0)))


def shares(prediction):
    weights = [np.exp(score) for score in prediction.log_likelihoods]
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize(("seed", "classes"), [(0, 3), (1, 3), (2, 2), (3, 1)])
def test_f1_and_mcc_are_those_of_scikit_learn(seed, classes):
    metrics = pytest.importorskip("sklearn.metrics")
    predictions = made(seed=seed, classes=classes)
    true, chosen = [p.target for p in predictions], [p.raw_answer for p in predictions]
    assert value("macro_f1", predictions) == pytest.approx(metrics.f1_score(true, chosen, average="macro"))
    assert value("mcc", predictions) == pytest.approx(metrics.matthews_corrcoef(true, chosen))
    assert value("weighted_f1", predictions) == pytest.approx(metrics.f1_score(true, chosen, average="weighted"))


def test_macro_f1_and_mcc_by_hand():
    pairs = [("yes", "yes"), ("yes", "no"), ("no", "no"), ("no", "no")]
    predictions = [Prediction(str(i), target, answer, (0.0, 0.0, 0.0)) for i, (target, answer) in enumerate(pairs)]
    # yes: precision 1, recall 1/2; no: precision 2/3, recall 1; maybe never occurs
    assert value("macro_f1", predictions) == pytest.approx((2 / 3 + 4 / 5) / 2)
    # two rows of each label are true
    assert value("weighted_f1", predictions) == pytest.approx((2 * 2 / 3 + 2 * 4 / 5) / 4)
    # (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)) with yes as positive
    assert value("mcc", predictions) == pytest.approx((1 * 2 - 0) / np.sqrt(1 * 2 * 2 * 3))


def test_mcc_of_a_model_that_always_says_the_same_is_zero():
    assert value("mcc", [Prediction(str(i), t, "no", (0.0, 1.0, 0.0)) for i, t in enumerate(ANSWERS)]) == 0.0


def test_the_brier_score_is_the_squared_distance_to_the_true_answer():
    predictions = made()
    expected = [
        sum((share - (answer == p.target)) ** 2 for share, answer in zip(shares(p), ANSWERS, strict=True))
        for p in predictions
    ]
    assert value("brier", predictions) == pytest.approx(np.mean(expected))


def test_the_calibration_error_is_the_gap_of_each_of_fifteen_bins_weighted_by_its_items():
    predictions, total = made(200), 0.0
    for low in range(15):
        inside = [p for p in predictions if low / 15 <= max(shares(p)) < (low + 1) / 15]
        if inside:
            confidence = np.mean([max(shares(p)) for p in inside])
            accuracy = np.mean([p.raw_answer == p.target for p in inside])
            total += len(inside) / 200 * abs(confidence - accuracy)
    assert value("ece", predictions) == pytest.approx(total)


def test_certainty_falls_into_the_last_bin():
    assert value("ece", [Prediction("0", "yes", "yes", (0.0, -800.0, -800.0))]) == 0.0


@pytest.mark.parametrize("kind", ["raw", "contextual"])
def test_the_losses_sum_to_what_accuracy_lacks(kind):
    predictions = made()
    scoring = Scoring(answers=ANSWERS, kind=kind)
    parts = [value(name, predictions, scoring) for name in LOSSES]
    assert sum(parts) == pytest.approx(1 - value("accuracy", predictions, scoring))
    assert parts[0] == 0 or kind == "raw"


@pytest.mark.parametrize(
    ("log_shares", "prior", "expected"),
    [
        ((0.6, 0.3, 0.1), (0.2, 0.4, 0.4), (0, 0, 0)),  # right before and after calibration
        ((0.3, 0.6, 0.1), (0.1, 0.8, 0.1), (1, 0, 0)),  # repaired
        ((0.5, 0.4, 0.1), (0.8, 0.1, 0.1), (-1, 0, 1)),  # spoilt
        ((0.1, 0.6, 0.3), (0.3, 0.3, 0.4), (0, 0, 1)),  # wrong both times
        ((0.01, 0.06, 0.03), (0.3, 0.3, 0.4), (0, 1, 0)),  # and the model would say something else altogether
    ],
)
def test_an_item_loses_to_prior_format_or_otherwise(log_shares, prior, expected):
    scores = tuple(map(float, np.log(log_shares)))
    answer = ANSWERS[int(np.argmax(scores))]
    prediction = Prediction("0", "yes", answer, scores, content_free=tuple(map(float, np.log(prior))))
    assert [value(name, [prediction]) for name in LOSSES] == list(expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_of_many_resamples_at_once_is_that_of_each(name):
    rows = statistics(name, made(), SCORING)
    counts = np.random.default_rng(0).multinomial(60, [1 / 60] * 60, size=(3, 5))
    together = METRICS[name].card.combine(counts @ rows)
    assert together.shape == (3, 5)
    for place in np.ndindex(3, 5):
        assert together[place] == pytest.approx(METRICS[name].card.combine(counts[place] @ rows))


def test_calibration_error_and_brier_score_take_options_of_each_row():
    rows = [
        Prediction("0", "b", "a", (0.0, -1.0), options=("a", "b")),
        Prediction("1", "c", "c", (-9.0, -1.0, -2.0), options=("a", "c", "d")),
    ]
    first, second = np.exp([0, -1]) / np.exp([0, -1]).sum(), np.exp([-9, -1, -2]) / np.exp([-9, -1, -2]).sum()
    expected = (first[0] ** 2 + (first[1] - 1) ** 2 + second[0] ** 2 + (second[1] - 1) ** 2 + second[2] ** 2) / 2
    assert value("brier", rows, Scoring()) == pytest.approx(expected)
    assert value("ece", rows, Scoring()) > 0
