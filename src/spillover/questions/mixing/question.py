"""Mixtures as a question: which data should be mixed in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from spillover.analysis.analysis import Analysis
from spillover.question import Question
from spillover.questions.mixing.mixing import Mixing, mixing
from spillover.records import StudyResults


class MixingQuestion(Question[Mixing]):
    """Which data should be mixed in?"""

    name = "mixing"

    def find(self, results: StudyResults, analysis: Analysis) -> Mixing | None:
        """Return what added data did; None where no variant was trained on a mixture."""
        return mixing(results, analysis.scores, level=analysis.level)

    def summary(self, finding: Mixing | None) -> Mapping[str, object]:
        """Return everything that was found."""
        return {"mixing": dataclasses.asdict(finding) if finding else None}


MIXING = MixingQuestion()
