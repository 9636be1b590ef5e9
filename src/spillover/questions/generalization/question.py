"""The first question: what fine-tuning did to each task, and the verdict on every variant."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from spillover.analysis.analysis import Analysis
from spillover.analysis.verdict import Verdict
from spillover.question import Question
from spillover.questions.generalization.best_of_shots import BestOfShots, best_of_shots
from spillover.questions.generalization.in_context import InContextGain, in_context_gains
from spillover.questions.generalization.losses import AccuracyDrop, accuracy_drops
from spillover.questions.generalization.sections import (
    best_section,
    gains_section,
    labels_section,
    losses_section,
    verdicts_section,
)
from spillover.questions.generalization.verdicts import verdicts
from spillover.records import StudyResults
from spillover.report.section import Section


@dataclasses.dataclass(frozen=True, slots=True)
class Generalization:
    """What happened to each variant, and what stands behind it."""

    verdicts: tuple[Verdict, ...]
    best_of_shots: tuple[BestOfShots, ...]
    in_context_gains: tuple[InContextGain, ...]
    accuracy_drops: tuple[AccuracyDrop, ...]


class GeneralizationQuestion(Question[Generalization]):
    """What did fine-tuning do in-domain, out of domain and across tasks?"""

    name = "generalization"

    def find(self, results: StudyResults, analysis: Analysis) -> Generalization:
        """Return the verdicts and what stands behind them."""
        return Generalization(
            verdicts(results, analysis.judged, analysis.idle, analysis.measurements),
            best_of_shots(results, analysis.scores, level=analysis.level),
            in_context_gains(results, analysis.scores, level=analysis.level),
            accuracy_drops(analysis.measurements),
        )

    def verdicts(self, finding: Generalization) -> Sequence[Verdict]:
        """Return the verdict of every variant, or recipe with several seeds."""
        return finding.verdicts

    def sections(self, results: StudyResults, analysis: Analysis, finding: Generalization) -> Sequence[Section]:
        """Return the verdicts and what stands behind them."""
        return [
            verdicts_section(results, analysis),
            best_section(results, finding.best_of_shots),
            gains_section(results, finding.in_context_gains),
            losses_section(results, finding.accuracy_drops),
            labels_section(results, analysis),
        ]

    def summary(self, finding: Generalization | None) -> Mapping[str, object]:
        """Return what stands behind the verdicts."""
        if finding is None:
            return {}
        return {
            "best_of_shots_optimistic": [dataclasses.asdict(item) for item in finding.best_of_shots],
            "in_context_gains": [dataclasses.asdict(item) for item in finding.in_context_gains],
            "accuracy_drops": [dataclasses.asdict(item) for item in finding.accuracy_drops],
        }


GENERALIZATION = GeneralizationQuestion()
