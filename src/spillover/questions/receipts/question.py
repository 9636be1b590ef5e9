"""Receipts as a question: whether a small classifier's verdict in the prompt is better than either model alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from spillover.analysis.analysis import Analysis
from spillover.question import Question
from spillover.questions.receipts.beyond import steps_beyond
from spillover.questions.receipts.keys import ReceiptsKeys
from spillover.questions.receipts.numbers import METRIC, ReceiptNumbers, advices, receipt_numbers
from spillover.questions.receipts.reading import ReceiptItems, receipt_items
from spillover.questions.receipts.section import receipts_section
from spillover.records import StudyResults
from spillover.report.section import Section
from spillover.steps.step import Step
from spillover.store.store import Store
from spillover.study.study import Study

Found = tuple[ReceiptNumbers, ...]
OF_ITEMS = frozenset(
    {
        *("example_ids", "targets", "alone", "own", "confidence", "unscaled", "shown", "final", "product", "cascade"),
    }
)
"""What is not in summary.json: a value an item."""


class ReceiptsQuestion(Question[Found]):
    """Should a small classifier stand in front of the model?"""

    name = "receipts"
    settings = ReceiptsKeys

    def steps(self, study: Study) -> Sequence[Step]:
        """Return validation rows for a cascade, and what models are asked of the verdicts they were shown."""
        return steps_beyond(study)

    def collect(self, study: Study, store: Store) -> tuple[ReceiptItems, ...] | None:
        """Return the answers of every cell with verdicts beside its items."""
        return receipt_items(study, store) or None

    def find(self, results: StudyResults, analysis: Analysis) -> Found | None:
        """Return what verdicts in prompts came to; None where none were shown."""
        read: tuple[ReceiptItems, ...] = results.collected.get(self.name, ())
        known = {task.name for task in results.tasks} if METRIC in results.metrics else set()
        found = tuple(
            receipt_numbers(results, items, resample_count=analysis.resample_count, level=analysis.level)
            for items in read
            if items.cell.tested_on in known
        )
        return found or None

    def sections(self, results: StudyResults, analysis: Analysis, finding: Found) -> Sequence[Section]:
        """Return advice, accuracies, overrides and copying."""
        return [receipts_section(finding, advices(finding), results.variants)]

    def summary(self, finding: Found | None) -> Mapping[str, object]:
        """Return the numbers of every cell."""
        rows = [
            {
                **{key: value for key, value in asdict(row.items).items() if key not in OF_ITEMS},
                **{key: value for key, value in asdict(row).items() if key != "items"},
            }
            for row in finding or ()
        ]
        return {"receipts": rows} if rows else {}


RECEIPTS = ReceiptsQuestion()
