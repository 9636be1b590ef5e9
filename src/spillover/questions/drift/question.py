"""Drift as a question: how far the model moved, and whether that goes with lost score."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from spillover.analysis.analysis import Analysis
from spillover.question import Question
from spillover.questions.drift.findings import DriftFindings, drift_findings
from spillover.questions.drift.step import Drift
from spillover.records import StudyResults
from spillover.report.section import Section
from spillover.settings import Settings
from spillover.steps.step import Step
from spillover.steps.variant import Variant
from spillover.store.store import Store
from spillover.study.study import Study


class DriftSettings(Settings):
    """The question's key in study.yaml."""

    drift: bool = True
    """Whether it is measured how far each variant moved from the base, which holds a model in float32."""


class DriftQuestion(Question[DriftFindings]):
    """How far did the model move?"""

    name = "drift"
    settings = DriftSettings

    def steps(self, study: Study) -> Sequence[Step]:
        measured = study.models if study.source.get("drift", True) else ()
        return tuple(Drift(model) for model in measured if model.is_of_base)

    def facts(self, study: Study, store: Store, model: Variant) -> Mapping[str, Any]:
        step = Drift(model)
        return step.measured(store) if model.is_of_base and store.has(step) else {}

    def find(self, results: StudyResults, analysis: Analysis) -> DriftFindings | None:
        """Return what drift explains; None where none was measured."""
        found = drift_findings(results, analysis.relations, level=analysis.level)
        return found if found.measured else None

    def sections(self, results: StudyResults, analysis: Analysis, finding: DriftFindings) -> Sequence[Section]:
        """Return how far every variant moved, where, in what it computes, and whether that goes with lost score."""
        from spillover.questions.drift.section import drift_section  # with charts, which only a report needs

        return [drift_section(results, finding)]

    def summary(self, finding: DriftFindings | None) -> Mapping[str, object]:
        """Return what was measured of every variant, and what it explains."""
        explained = dataclasses.asdict(finding or DriftFindings({}, (), (), ()))
        return {"drift": explained.pop("measured"), "drift_findings": explained}


DRIFT = DriftQuestion()
