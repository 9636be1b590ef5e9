"""Calibration as a question: whether a model is as often right as it is sure."""

from __future__ import annotations

from collections.abc import Mapping

from spillover.analysis.analysis import Analysis
from spillover.question import Question
from spillover.questions.calibration.reliability import Reliability, reliabilities
from spillover.records import StudyResults


class CalibrationQuestion(Question[tuple[Reliability, ...]]):
    """Does a model know how sure it is?"""

    name = "calibration"

    def find(self, results: StudyResults, analysis: Analysis) -> tuple[Reliability, ...] | None:
        """Return how often each model is right where it is how sure; None where no task was scored for it."""
        return reliabilities(results) or None

    def summary(self, finding: tuple[Reliability, ...] | None) -> Mapping[str, object]:
        """Return nothing."""
        return {}


CALIBRATION = CalibrationQuestion()
