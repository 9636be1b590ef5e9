"""What a classifier's confidence is worth: how often it is right, overridden and bettered where it is how sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.evaluation.label_metrics import confidence_gaps, expected_calibration_error
from spillover.records import FloatArray
from spillover.steps.verdicts import Shares

EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Of the bins that are shown: tenths from a half on, as in the paper's figure (sheet supercontext, 6)."""


@dataclass(frozen=True, slots=True)
class ConfidenceBin:
    """Items of about one confidence; shares are of them."""

    low: float
    high: float
    """The last bin holds 1 itself."""
    item_count: int
    classifier: float
    """Accuracy of the classifier."""
    alone: float
    """Of the model asked plainly."""
    together: float
    """Of the model with receipts."""
    override_count: int
    """Items whose answer is not the classifier's."""


def confidence_bins(
    confidence: Sequence[float],
    *,
    classifier: FloatArray,
    alone: FloatArray,
    together: FloatArray,
    overrides: FloatArray,
) -> tuple[ConfidenceBin, ...]:
    """Return the bins between `EDGES` that hold any item; the arrays are 1 or 0 for each ``(n,)``."""
    places = np.minimum(np.digitize(confidence, EDGES), len(EDGES) - 1) - 1
    found = []
    for place in map(int, np.unique(places)):
        inside = places == place
        found.append(
            ConfidenceBin(
                low=EDGES[place],
                high=EDGES[place + 1],
                item_count=int(inside.sum()),
                classifier=float(classifier[inside].mean()),
                alone=float(alone[inside].mean()),
                together=float(together[inside].mean()),
                override_count=int(overrides[inside].sum()),
            )
        )
    return tuple(found)


def calibration_error(confidence: Sequence[float], right: FloatArray) -> float:
    """Return the expected calibration error, as the metric ``ece`` has it; ``right`` is 1 or 0 for each ``(n,)``."""
    return float(expected_calibration_error(confidence_gaps(confidence, right.tolist()).sum(axis=0)))


def before_scaling(shares: Shares, temperature: float) -> tuple[float, ...]:
    """Return the largest share of each row as it was before a temperature: the softmax of the logits themselves."""
    logs = temperature * np.log(np.maximum(shares.values, np.finfo(float).tiny))
    return tuple(map(float, np.exp(logs.max(axis=1) - np.logaddexp.reduce(logs, axis=1))))
