"""Which answer a model chose: raw, per character, or corrected for what it says without any input."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from spillover.errors import SpilloverError
from spillover.records import FloatArray, Prediction

ScoringKind = Literal["raw", "contextual", "pmi", "batch"]
"""How answers are compared.

- ``raw``: by log-likelihood.
- ``contextual``: by log-likelihood less the log of the answer's mean share after content-free inputs behind the same
  demonstrations (Zhao et al. 2021, "Calibrate Before Use", section 5).
- ``pmi``: by log-likelihood less that after the end of the prompt alone, without demonstrations (Holtzman et al. 2021,
  "Surface Form Competition", section 3).
- ``batch``: by log-likelihood less the answer's mean log share over the cell's items (Zhou et al. 2024, "Batch
  Calibration", section 3, with the mean of logarithms): what a cell says on average says nothing of any item.
"""


@dataclass(frozen=True, slots=True)
class Scoring:
    """What a metric may need besides the predictions."""

    trained_answers: tuple[str, ...] = ()
    """Label words of the tasks the study trains on; generations that are one of them leaked."""
    answers: tuple[str, ...] = ()
    """The task's answer set, in the order of the log-likelihoods; empty where each row has options of its own."""
    kind: ScoringKind = "raw"
    length_normalised: bool = False
    """Whether raw log-likelihoods are compared per character of the answer."""
    cell_mean: tuple[float, ...] = ()
    """Mean log share of each answer over the cell, which ``batch`` subtracts."""


def answers_of(prediction: Prediction, scoring: Scoring) -> Sequence[str]:
    """Return the texts that the log-likelihoods belong to.

    Raises:
        SpilloverError: If the prediction is not a choice.
    """
    answers = prediction.options or scoring.answers
    if len(answers) != len(prediction.log_likelihoods) or not answers:
        raise SpilloverError(
            f"row {prediction.example_id!r} has {len(prediction.log_likelihoods)} log-likelihoods for "
            f"{len(answers)} answers; this metric needs a choice between answers"
        )
    return answers


def answer_scores(prediction: Prediction, scoring: Scoring) -> FloatArray:
    """Return the score of each answer; the highest is the choice.

    Raises:
        SpilloverError: If what the kind of scoring subtracts was not asked.
    """
    scores = np.asarray(prediction.log_likelihoods, dtype=np.float64)
    answers = answers_of(prediction, scoring)
    if scoring.kind == "raw":
        return scores / [len(answer) for answer in answers] if scoring.length_normalised else scores
    priors = {"contextual": prediction.content_free, "pmi": prediction.premise, "batch": scoring.cell_mean}
    prior = priors[scoring.kind]
    if len(prior) != len(scores):
        raise SpilloverError(f"row {prediction.example_id!r} was not asked what {scoring.kind} scoring subtracts")
    return np.asarray(scores - np.asarray(prior), dtype=np.float64)


def of_cell(scoring: Scoring, predictions: Sequence[Prediction]) -> Scoring:
    """Return the scoring with what it subtracts from every item of a cell, given the whole cell."""
    if scoring.kind != "batch":
        return scoring
    raw = np.stack([np.asarray(prediction.log_likelihoods, dtype=np.float64) for prediction in predictions])
    shares = raw - np.logaddexp.reduce(raw, axis=1, keepdims=True)
    return replace(scoring, cell_mean=tuple(map(float, shares.mean(axis=0))))


def chosen_answer(prediction: Prediction, scoring: Scoring) -> str:
    """Return the answer of the highest score, or the generated text."""
    if scoring.kind == "raw" and not scoring.length_normalised:
        return prediction.raw_answer
    return answers_of(prediction, scoring)[int(answer_scores(prediction, scoring).argmax())]


def answer_shares(prediction: Prediction, scoring: Scoring) -> FloatArray:
    """Return the scores as shares of one (softmax): the model's probabilities within the answer set."""
    scores = answer_scores(prediction, scoring)
    return np.asarray(np.exp(scores - np.logaddexp.reduce(scores)), dtype=np.float64)
