"""Metrics of answers in JSON to questions that may have none: what can be read, what is right, and what is made up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spillover.errors import UserError
from spillover.evaluation.choice import Scoring, chosen_answer
from spillover.evaluation.json_answers import abstains, answers_in, is_right
from spillover.records import FloatArray, Prediction

BoolArray = NDArray[np.bool_]


def gold_of(target: str) -> tuple[str, ...]:
    """Return the right answers of a target: those of its JSON, or the target itself where it is none."""
    return answers_in(target) or (target,)


def valid_json(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return whether an answer can be read, and one."""
    return _of(_valid(predictions, scoring))


def json_match(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return whether the answer is right, and one; what cannot be read is wrong, to unanswerable questions too.

    The released scorer of the paper counts it right there, which lifts the score of a model that writes no JSON.
    """
    return _of(_right(predictions, scoring))


def json_match_valid(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return whether the answer is right, and whether it can be read."""
    return _of(_right(predictions, scoring), _valid(predictions, scoring))


def json_match_answerable(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return whether the answer to a question that has one is right, and whether it has one."""
    return _of(_right(predictions, scoring), _some(_answerable(predictions), "an answer"))


def json_match_unanswerable(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return whether a question without an answer is left open, and whether it has none."""
    return _of(_right(predictions, scoring), _some(~_answerable(predictions), "no answer"))


def hallucination(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return whether a question without an answer is given one, and whether it has none.

    What cannot be read is no answer, so that on such questions this, `json_match_unanswerable` and the share that
    cannot be read add up to one.
    """
    open_ones = _some(~_answerable(predictions), "no answer")
    given = [bool(answers) and not abstains(answers) for answers in _read(predictions, scoring)]
    return _of(np.array(given), open_ones)


def share(totals: FloatArray) -> FloatArray:
    """Statistics (counted, of) to their ratio; 0 of nothing, as of valid answers where none is: none is right."""
    counted, of = totals[..., 0], totals[..., 1]
    return np.asarray(counted / np.where(of > 0, of, 1), dtype=np.float64)


def _read(predictions: Sequence[Prediction], scoring: Scoring) -> list[tuple[str, ...]]:
    return [answers_in(chosen_answer(prediction, scoring)) for prediction in predictions]


def _valid(predictions: Sequence[Prediction], scoring: Scoring) -> BoolArray:
    return np.array([bool(answers) for answers in _read(predictions, scoring)])


def _right(predictions: Sequence[Prediction], scoring: Scoring) -> BoolArray:
    read = _read(predictions, scoring)
    return np.array([is_right(given, gold_of(row.target)) for given, row in zip(read, predictions, strict=True)])


def _answerable(predictions: Sequence[Prediction]) -> BoolArray:
    return np.array([not abstains(gold_of(prediction.target)) for prediction in predictions])


def _some(asked: BoolArray, kind: str) -> BoolArray:
    if not asked.any():
        raise UserError(
            f"none of {len(asked)} questions has {kind}, and a share of none has no value; ask more items of the task, "
            'give it targets {"answer": "?"} and others, or leave json_match_answerable, json_match_unanswerable and '
            "hallucination out of its metrics"
        )
    return asked


def _of(counted: BoolArray, among: BoolArray | None = None) -> FloatArray:
    of = np.ones(len(counted), dtype=bool) if among is None else among
    return np.stack([counted & of, of], axis=1).astype(np.float64)
