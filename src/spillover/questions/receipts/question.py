"""Receipts as a question: whether a small classifier's verdict in the prompt is better than either model alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from spillover.analysis.analysis import Analysis
from spillover.question import Question
from spillover.questions.receipts.answers import AnswerItems, AnswerNumbers, answer_items, answer_numbers, answer_parts
from spillover.questions.receipts.beyond import steps_beyond
from spillover.questions.receipts.keys import ReceiptsKeys
from spillover.questions.receipts.numbers import METRIC, ReceiptNumbers, advices, receipt_numbers
from spillover.questions.receipts.reading import ReceiptItems, receipt_items
from spillover.questions.receipts.section import receipts_section
from spillover.records import StudyResults
from spillover.report.section import Place, Section
from spillover.steps.step import Step
from spillover.store.store import Store
from spillover.study.study import Study

OF_ITEMS = frozenset(
    {
        *("example_ids", "targets", "alone", "own", "confidence", "unscaled", "shown", "final", "product", "cascade"),
    }
)
"""What is not in summary.json: a value an item."""


@dataclass(frozen=True, slots=True)
class Found:
    """What verdicts in prompts came to."""

    labels: tuple[ReceiptNumbers, ...]
    answers: tuple[AnswerNumbers, ...]


class ReceiptsQuestion(Question[Found]):
    """Should a small classifier stand in front of the model?"""

    name = "receipts"
    settings = ReceiptsKeys

    def steps(self, study: Study) -> Sequence[Step]:
        """Return validation rows for a cascade, and what models are asked of the verdicts they were shown."""
        return steps_beyond(study)

    def collect(self, study: Study, store: Store) -> tuple[ReceiptItems | AnswerItems, ...] | None:
        """Return the answers of every cell with verdicts beside its items."""
        return (*receipt_items(study, store), *answer_items(study, store)) or None

    def find(self, results: StudyResults, analysis: Analysis) -> Found | None:
        """Return what verdicts in prompts came to; None where none were shown."""
        read: tuple[ReceiptItems | AnswerItems, ...] = results.collected.get(self.name, ())
        known = {task.name for task in results.tasks}
        asked = [items for items in read if items.cell.tested_on in known]
        count, level = analysis.resample_count, analysis.level
        labels = tuple(
            receipt_numbers(results, items, resample_count=count, level=level)
            for items in asked
            if isinstance(items, ReceiptItems) and METRIC in results.metrics
        )
        answers = tuple(
            answer_numbers(results, items, resample_count=count, level=level)
            for items in asked
            if isinstance(items, AnswerItems)
        )
        return Found(labels, answers) if labels or answers else None

    def sections(self, results: StudyResults, analysis: Analysis, finding: Found) -> Sequence[Section]:
        """Return advice, accuracies, overrides and copying."""
        parts = answer_parts(finding.answers)
        if not finding.labels:
            return [Section("receipts", "A small model in the prompt", parts, Place.CELLS)]
        section = receipts_section(finding.labels, advices(finding.labels), results.variants)
        return [replace(section, parts=(*section.parts, *parts))]

    def summary(self, finding: Found | None) -> Mapping[str, object]:
        """Return the numbers of every cell."""
        rows = [
            {
                **{key: value for key, value in asdict(row.items).items() if key not in OF_ITEMS},
                **{key: value for key, value in asdict(row).items() if key != "items"},
            }
            for row in (finding.labels if finding else ())
        ]
        answers = [row.plain for row in finding.answers] if finding else []
        return {**({"receipts": rows} if rows else {}), **({"receipts_of_answers": answers} if answers else {})}


RECEIPTS = ReceiptsQuestion()
