"""The questions of a study, one line each: nothing else outside their rooms knows any of them by name."""

from typing import Any

from spillover.analysis.analysis import Analysis, analyse
from spillover.question import Question
from spillover.questions.calibration.question import CALIBRATION
from spillover.questions.claims.question import CLAIMS
from spillover.questions.convergence.question import CONVERGENCE
from spillover.questions.drift.question import DRIFT
from spillover.questions.frontier.question import FRONTIER
from spillover.questions.generalization.question import GENERALIZATION
from spillover.questions.mixing.question import MIXING
from spillover.questions.receipts.question import RECEIPTS
from spillover.records import StudyResults
from spillover.statistics.paired import LEVEL, RESAMPLE_COUNT

QUESTIONS: tuple[Question[Any], ...] = (
    GENERALIZATION,
    DRIFT,
    MIXING,
    FRONTIER,
    CALIBRATION,
    RECEIPTS,
    CONVERGENCE,
    CLAIMS,
)

OF_OTHERS = tuple(question for question in QUESTIONS if question.asks_of_others)
"""What is asked of what was trained, or measured, elsewhere."""


def answered(results: StudyResults, *, resample_count: int = RESAMPLE_COUNT, level: float = LEVEL) -> Analysis:
    """Compare every variant with the base, and ask what the study asks; see `spillover.analysis.analysis.analyse`."""
    asked = [question for question in QUESTIONS if results.questions is None or question.name in results.questions]
    return analyse(results, asked, resample_count=resample_count, level=level)
