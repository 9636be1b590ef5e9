"""The frontier as a question: which recipe keeps the most at the same gain."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from spillover.analysis.analysis import Analysis
from spillover.question import Question
from spillover.questions.frontier.frontier import Frontier, frontiers
from spillover.records import StudyResults
from spillover.report.section import Section


class FrontierQuestion(Question[tuple[Frontier, ...]]):
    """Which recipe keeps the most?"""

    name = "frontier"

    def find(self, results: StudyResults, analysis: Analysis) -> tuple[Frontier, ...] | None:
        """Return a frontier per training task and size that several variants share; None without any."""
        return frontiers(results, analysis.scores, level=analysis.level) or None

    def evidence(self, finding: tuple[Frontier, ...]) -> Mapping[str, Sequence[str]]:
        """Return of whom no other is better on both sides, and how sure that is."""
        lines: dict[str, list[str]] = {}
        for frontier in finding:
            where = f"trained on the same rows ({frontier.target_kind} gained, {frontier.retained_kind} kept)"
            for point in frontier.points:
                if point.is_on_front:
                    line = (
                        f"on the front of the recipes {where}, in {point.front_share:.0%} of the resamples: neither "
                        "another one nor the base gains as much and keeps more"
                    )
                    for variant in point.variants:
                        lines.setdefault(variant, []).append(line)
        return lines

    def sections(self, results: StudyResults, analysis: Analysis, finding: tuple[Frontier, ...]) -> Sequence[Section]:
        """Return every frontier's chart and numbers, and its recipes at one target score."""
        from spillover.questions.frontier.section import frontier_section  # with charts, which only a report needs

        return [frontier_section(finding)]

    def summary(self, finding: tuple[Frontier, ...] | None) -> Mapping[str, object]:
        """Return every frontier."""
        return {"frontiers": [dataclasses.asdict(item) for item in finding or ()]}


FRONTIER = FrontierQuestion()
