"""Receipts as a question: whether a small classifier's verdict in the prompt is better than either model alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from spillover.analysis.analysis import Analysis
from spillover.question import Question
from spillover.questions.receipts.numbers import METRIC, ReceiptNumbers, advices, receipt_numbers
from spillover.questions.receipts.reading import ReceiptItems, receipt_items
from spillover.questions.receipts.section import receipts_section
from spillover.records import StudyResults
from spillover.report.section import Section
from spillover.store.store import Store
from spillover.study.study import Study

Found = tuple[ReceiptNumbers, ...]


class ReceiptsQuestion(Question[Found]):
    """Should a small classifier stand in front of the model?"""

    name = "receipts"

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
        return [receipts_section(finding, advices(finding))]

    def summary(self, finding: Found | None) -> Mapping[str, object]:
        """Return the numbers of every cell."""
        texts = {"example_ids", "targets", "alone", "own", "confidence", "shown", "final", "product"}
        rows = [
            {
                **{key: value for key, value in asdict(row.items).items() if key not in texts},
                **{key: value for key, value in asdict(row).items() if key != "items"},
            }
            for row in finding or ()
        ]
        return {"receipts": rows} if rows else {}


RECEIPTS = ReceiptsQuestion()
