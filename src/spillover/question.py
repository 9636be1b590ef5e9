"""What a study asks beyond its matrix: the one base class of every question, see ``questions/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from spillover.analysis.analysis import Analysis
from spillover.analysis.verdict import Verdict
from spillover.records import StudyResults
from spillover.report.section import Section
from spillover.settings import Settings
from spillover.steps.step import Step
from spillover.steps.variant import Variant
from spillover.store.store import Store
from spillover.study.design import Designed
from spillover.study.study import Study
from spillover.study.study_file import StudyFile

Found = TypeVar("Found")


class Question(Generic[Found]):
    """A question: what it adds to a study, what it finds in the scores, and what it says in the report.

    Everything but its name and what it finds has a default that adds nothing. A question sees the core and never
    another question; what two of them need belongs in the core.
    """

    name: ClassVar[str]
    """Of its finding and of its facts."""
    asks_of_others: ClassVar[bool] = True
    """Whether it is asked of what was trained, or measured, elsewhere too."""
    settings: ClassVar[type[Settings] | None] = None
    """The keys that it adds to study.yaml, each with a default that asks nothing; None adds none."""

    @property
    def design_keys(self) -> tuple[str, ...]:
        """The keys of study.yaml by which it adds variants."""
        adds = type(self).expand is not Question.expand
        return tuple(self.settings.model_fields) if self.settings and adds else ()

    def expand(self, settings: StudyFile) -> Sequence[Designed]:
        """Return the variants that a study file asks for by its keys, which are fields of ``settings``."""
        return ()

    def steps(self, study: Study) -> Sequence[Step]:
        """Return what is to be done beyond the grid, each of one variant; a report does without what is missing."""
        return ()

    def facts(self, study: Study, store: Store, model: Variant) -> Mapping[str, Any]:
        """Return what is known of a finished variant, as plain data for its card."""
        return {}

    def collect(self, study: Study, store: Store) -> object | None:
        """Return what is read of a finished study beyond its scores, for `find`; None for nothing."""
        return None

    def find(self, results: StudyResults, analysis: Analysis) -> Found | None:
        """Return what the scores say; None where a study says nothing of it."""
        raise NotImplementedError

    def verdicts(self, finding: Found) -> Sequence[Verdict]:
        """Return the verdict of every variant, of the question that judges."""
        return ()

    def evidence(self, finding: Found) -> Mapping[str, Sequence[str]]:
        """Return variant to lines that stand under its verdict."""
        return {}

    def sections(self, results: StudyResults, analysis: Analysis, finding: Found) -> Sequence[Section]:
        """Return what stands in the report; parts that hold nothing are left out."""
        return ()

    def summary(self, finding: Found | None) -> Mapping[str, object]:
        """Return what stands in summary.json, whether anything was found or not: keys no other question has."""
        return {}
