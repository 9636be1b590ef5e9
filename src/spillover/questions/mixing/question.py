"""Mixtures as a question: which data should be mixed in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from spillover.analysis.analysis import Analysis
from spillover.question import Question
from spillover.questions.mixing.arm import QUESTION, facts_of
from spillover.questions.mixing.designs import MixKey
from spillover.questions.mixing.mixing import Mixing, mixing
from spillover.questions.mixing.section import mixing_section
from spillover.records import StudyResults
from spillover.report.section import Section
from spillover.steps.variant import Variant
from spillover.store.store import Store
from spillover.study.design import Designed
from spillover.study.study import Study
from spillover.study.study_file import StudyFile


class MixingQuestion(Question[Mixing]):
    """Which data should be mixed in?"""

    name = QUESTION
    settings = MixKey

    def expand(self, settings: StudyFile) -> Sequence[Designed]:
        assert isinstance(settings, MixKey)
        return [arm for design in settings.mix for arm in design.expand()]

    def facts(self, study: Study, store: Store, model: Variant) -> Mapping[str, Any]:
        return facts_of(study, store, model)

    def find(self, results: StudyResults, analysis: Analysis) -> Mixing | None:
        """Return what added data did; None where no variant was trained on a mixture."""
        return mixing(results, analysis.scores, level=analysis.level)

    def sections(self, results: StudyResults, analysis: Analysis, finding: Mixing) -> Sequence[Section]:
        return [mixing_section(finding)]

    def summary(self, finding: Mixing | None) -> Mapping[str, object]:
        """Return everything that was found."""
        return {"mixing": dataclasses.asdict(finding) if finding else None}


MIXING = MixingQuestion()
