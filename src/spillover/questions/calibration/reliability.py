"""Reliability: how often a model is right where it is so sure, for every model over all its choices."""

from dataclasses import dataclass

import numpy as np

from spillover.records import BASE, CALIBRATION_ERROR, FloatArray, StudyResults


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The choices of about one confidence."""

    confidence: float
    """Mean share of the chosen answer, 0..1."""
    accuracy: float
    item_count: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """One model's choices, binned by confidence; the items of all cells count the same."""

    model: str
    bins: tuple[ReliabilityBin, ...]
    """Those that hold any item, of rising confidence."""
    item_count: int

    @property
    def error(self) -> float:
        """Expected calibration error: the mean over items of their bin's gap (Guo et al. 2017, section 2)."""
        gaps = (abs(entry.confidence - entry.accuracy) * entry.item_count for entry in self.bins)
        return sum(gaps) / self.item_count


def reliabilities(results: StudyResults) -> tuple[Reliability, ...]:
    """Return the reliability of the base and of every variant; empty where nothing was scored for calibration."""
    found: list[Reliability] = []
    for model in (BASE, *(card.id for card in results.variants)):
        own = [row for row in results.scores if row.variant == model and row.metric == CALIBRATION_ERROR]
        if own:
            found.append(_reliability(model, np.concatenate([row.statistics[:, :-1] for row in own])))
    return tuple(found)


def _reliability(model: str, gaps: FloatArray) -> Reliability:
    """Bin items by their gaps ``(n, bins)``, each of which lies in one column.

    Confidence is in (0, 1], so a gap above zero is that of a wrong choice and any other that of a right one; a row of
    zeros is a right choice of confidence 1, which is in the last bin.
    """
    gap = gaps.sum(axis=1)
    is_right = gap <= 0
    confidence = gap + is_right
    column = np.where(gap == 0, gaps.shape[1] - 1, (gaps != 0).argmax(axis=1))
    bins = tuple(
        ReliabilityBin(float(confidence[inside].mean()), float(is_right[inside].mean()), int(inside.sum()))
        for inside in (column == index for index in np.unique(column))
    )
    return Reliability(model, bins, len(gaps))
