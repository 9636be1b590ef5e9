"""The frontier as a question: which recipe keeps the most at the same gain."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from spillover.analysis.analysis import Analysis
from spillover.question import Question
from spillover.questions.frontier.frontier import Frontier, frontiers
from spillover.records import StudyResults


class FrontierQuestion(Question[tuple[Frontier, ...]]):
    """Which recipe keeps the most?"""

    name = "frontier"

    def find(self, results: StudyResults, analysis: Analysis) -> tuple[Frontier, ...] | None:
        """Return a frontier per training task and size that several variants share; None without any."""
        return frontiers(results, analysis.scores, level=analysis.level) or None

    def summary(self, finding: tuple[Frontier, ...] | None) -> Mapping[str, object]:
        """Return every frontier."""
        return {"frontiers": [dataclasses.asdict(item) for item in finding or ()]}


FRONTIER = FrontierQuestion()
