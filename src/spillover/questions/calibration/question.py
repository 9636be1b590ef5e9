"""Calibration as a question: whether a model is as often right as it is sure."""

from __future__ import annotations

from collections.abc import Sequence

from spillover.analysis.analysis import Analysis
from spillover.question import Question
from spillover.questions.calibration.reliability import Reliability, reliabilities
from spillover.questions.calibration.section import CHOICE_METRICS, calibration_section, choices_section
from spillover.records import StudyResults
from spillover.report.section import Section


class CalibrationQuestion(Question[tuple[Reliability, ...]]):
    """Does a model know how sure it is?"""

    name = "calibration"

    def find(self, results: StudyResults, analysis: Analysis) -> tuple[Reliability, ...] | None:
        """Return how often each model is right where it is how sure; None where no task was scored for any of it."""
        is_scored = any(row.metric in CHOICE_METRICS for row in analysis.measurements)
        return reliabilities(results) if is_scored else None

    def sections(
        self, results: StudyResults, analysis: Analysis, finding: tuple[Reliability, ...]
    ) -> Sequence[Section]:
        """Return the other metrics of choices, and how often a model is right where it is how sure."""
        return [choices_section(results, analysis), calibration_section(finding)]


CALIBRATION = CalibrationQuestion()
