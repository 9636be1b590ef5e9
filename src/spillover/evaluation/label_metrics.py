"""Metrics of choices between answers: macro-F1, MCC, calibration error, Brier score, and where accuracy is lost."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spillover.evaluation.choice import Scoring, answer_shares, answers_of, chosen_answer
from spillover.records import FloatArray, Prediction

BIN_COUNT = 15
"""Equal bins of confidence, as in Guo et al. 2017, section 2."""

SPOKEN = 0.5
"""From this probability of the whole answer set on, one of its answers is what the model would say."""


def _one_hot(texts: Sequence[str], answers: Sequence[str]) -> FloatArray:
    """Return ``(n, answers)``; a text that is no answer is a row of zeros."""
    return np.array([[float(text == answer) for answer in answers] for text in texts])


def confusion_counts(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return correct, chosen and true, for each answer of the set: ``(n, 3 * answers)``."""
    answers = answers_of(predictions[0], scoring)
    chosen = _one_hot([chosen_answer(prediction, scoring) for prediction in predictions], answers)
    true = _one_hot([prediction.target for prediction in predictions], answers)
    return np.concatenate([chosen * true, chosen, true], axis=1)


def macro_f1(totals: FloatArray) -> FloatArray:
    """Return the mean of the F1 of every answer that was chosen or true at least once."""
    correct, chosen, true = np.split(totals, 3, axis=-1)
    counted = chosen + true > 0
    f1 = np.where(counted, 2 * correct / np.where(counted, chosen + true, 1), 0)
    return np.asarray(f1.sum(axis=-1) / np.maximum(counted.sum(axis=-1), 1), dtype=np.float64)


def weighted_f1(totals: FloatArray) -> FloatArray:
    """Return the mean of the F1 of every answer, weighted by how often it is true; 0 where no answer is true."""
    correct, chosen, true = np.split(totals, 3, axis=-1)
    f1 = 2 * correct / np.maximum(chosen + true, 1)
    return np.asarray((f1 * true).sum(axis=-1) / np.maximum(true.sum(axis=-1), 1), dtype=np.float64)


def correlation_counts(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return correct, chosen and true, for each answer of the set, and one: ``(n, 3 * answers + 1)``."""
    return np.concatenate([confusion_counts(predictions, scoring), np.ones((len(predictions), 1))], axis=1)


def matthews_correlation(totals: FloatArray) -> FloatArray:
    """Return the correlation of choices and targets for any number of answers; 0 where one of them never varies.

    Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient".
    """
    (correct, chosen, true), count = np.split(totals[..., :-1], 3, axis=-1), totals[..., -1]
    covariance = correct.sum(axis=-1) * count - (chosen * true).sum(axis=-1)
    spread = (count**2 - (chosen**2).sum(axis=-1)) * (count**2 - (true**2).sum(axis=-1))
    varies = spread > 0
    return np.where(varies, covariance / np.sqrt(np.where(varies, spread, 1)), 0.0)


def calibration_gaps(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return confidence less correctness in the column of the confidence's bin, and one: ``(n, bins + 1)``."""
    confidence = [float(answer_shares(prediction, scoring).max()) for prediction in predictions]
    correct = [chosen_answer(prediction, scoring) == prediction.target for prediction in predictions]
    return confidence_gaps(confidence, correct)


def confidence_gaps(confidence: Sequence[float], correct: Sequence[bool]) -> FloatArray:
    """Return the same from each item's confidence, 0..1, and whether it is right."""
    sure = np.asarray(confidence, dtype=np.float64)
    rows = np.zeros((len(sure), BIN_COUNT + 1))
    rows[np.arange(len(sure)), np.minimum((sure * BIN_COUNT).astype(int), BIN_COUNT - 1)] = sure - correct
    rows[:, -1] = 1
    return rows


def expected_calibration_error(totals: FloatArray) -> FloatArray:
    """Return the mean over items of the gap between confidence and accuracy of their bin."""
    return np.asarray(np.abs(totals[..., :-1]).sum(axis=-1) / totals[..., -1], dtype=np.float64)


def squared_distances(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return the squared distance of the shares from the true answer, 0..2 (Brier 1950), and one."""
    rows = []
    for prediction in predictions:
        true = _one_hot([prediction.target], answers_of(prediction, scoring))[0]
        rows.append([float(((answer_shares(prediction, scoring) - true) ** 2).sum()), 1.0])
    return np.array(rows)


def _losses(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return what each item loses, ``(n, 3)``: to the label prior, to the format, and otherwise.

    The three sum to 1 less the item's accuracy: what contextual calibration repairs (−1 where it spoils a right
    choice), then what it leaves wrong, divided by whether the answer set is what the model would say at all.
    """
    calibrated = replace(scoring, kind="contextual")
    rows = []
    for prediction in predictions:
        right = float(chosen_answer(prediction, scoring) == prediction.target)
        right_calibrated = float(chosen_answer(prediction, calibrated) == prediction.target)
        is_spoken = np.exp(np.logaddexp.reduce(np.asarray(prediction.log_likelihoods))) >= SPOKEN
        left = 1 - right_calibrated
        rows.append([right_calibrated - right, 0.0 if is_spoken else left, left if is_spoken else 0.0])
    return np.array(rows)


def label_prior_loss(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return what contextual calibration would add to accuracy, and one."""
    return _with_one(_losses(predictions, scoring)[:, 0])


def format_loss(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return what is wrong after calibration where the model would not say any of the answers, and one."""
    return _with_one(_losses(predictions, scoring)[:, 1])


def remaining_loss(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return what is wrong after calibration where the model would say one of the answers, and one."""
    return _with_one(_losses(predictions, scoring)[:, 2])


def _with_one(values: FloatArray) -> FloatArray:
    return np.stack([values, np.ones(len(values))], axis=1)
