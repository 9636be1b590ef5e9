"""What a model answered with a classifier's verdict in its prompt, item by item, read from a finished study."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from spillover.evaluation.choice import ScoringKind, answer_shares, answers_of, chosen_answer, of_cell
from spillover.records import PLAIN, AskedBy, Cell
from spillover.steps.cell_steps import ScoreCell
from spillover.steps.predict import Predict
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.study import Study

SCORINGS: tuple[ScoringKind, ...] = ("batch", "raw")
"""The question's own first: raw, a small model mostly says one label whatever it is shown (sheet supercontext, 11)."""


@dataclass(frozen=True, slots=True)
class ReceiptItems:
    """A cell in which verdicts are shown beside its items; texts are in the order of the items."""

    asked: AskedBy
    classifier: str
    cell: Cell
    scoring: str
    example_ids: tuple[str, ...]
    targets: tuple[str, ...]
    alone: tuple[str, ...]
    """What the model answers asked plainly."""
    own: tuple[str, ...]
    """What the classifier says."""
    confidence: tuple[float, ...]
    """How sure it is, 0..1."""
    shown: tuple[str, ...]
    """What the model is shown as the classifier's verdict: another one in controls."""
    final: tuple[str, ...]
    """What the model answers then."""
    product: tuple[str, ...]
    """The answer of the largest product of the model's plain share and the classifier's."""
    demonstration_count: int = 0
    """Demonstrations that carry a receipt."""
    wrong_demonstration_count: int = 0
    """Those of them in which the classifier is wrong."""


def receipt_items(study: Study, store: Store) -> tuple[ReceiptItems, ...]:
    """Return every finished cell in which verdicts are shown beside items, under each of `SCORINGS`."""
    steps = [step for step in (*study.scores, *study.asked_otherwise) if store.has(step)]
    plain = {(step.predictions.model, step.predictions.cell): step for step in steps}
    workshop, found = Workshop(store), list[ReceiptItems]()
    for step in steps:
        asked = step.predictions
        if isinstance(asked, Predict) and asked.ask.receipts and "test" in asked.ask.receipts.where:
            alone = plain.get((asked.model, replace(asked.cell, ask=PLAIN)))
            if alone is not None:
                found += _read(step, asked, alone, workshop)
    return tuple(found)


def _read(step: ScoreCell, asked: Predict, alone: ScoreCell, workshop: Workshop) -> Iterator[ReceiptItems]:
    store, answers = workshop.store, asked.data.task.answers
    assert asked.ask.receipts is not None
    examples = asked.examples(workshop)[0]
    shares = asked.shares("test", examples, workshop)
    own, shown = shares.receipts(), asked.shown_receipts("test", examples, workshop)
    given, before = step.predictions.answered(store), alone.predictions.answered(store)
    columns = [answers.index(label) for label in shares.labels]
    told, wrong = _demonstrations(asked, workshop)
    for scoring in SCORINGS:
        rule = replace(step.rule, kind=scoring)
        after, plainly = of_cell(rule, given), of_cell(rule, before)
        product = [
            shares.labels[int(np.argmax(answer_shares(row, plainly)[columns] * share))]
            for row, share in zip(before, shares.values, strict=True)
        ]
        assert list(answers_of(given[0], after)) == list(answers)
        yield ReceiptItems(
            AskedBy(asked.model, asked.cell.ask),
            asked.ask.receipts.of,
            asked.cell,
            scoring,
            tuple(example.id for example in examples),
            tuple(example.target for example in examples),
            tuple(chosen_answer(row, plainly) for row in before),
            tuple(receipt.label for receipt in own),
            tuple(receipt.confidence for receipt in own),
            tuple(receipt.label for receipt in shown),
            tuple(chosen_answer(row, after) for row in given),
            tuple(product),
            told,
            wrong,
        )


def _demonstrations(asked: Predict, workshop: Workshop) -> tuple[int, int]:
    """Return how many demonstrations carry a receipt, and in how many of them the classifier is wrong."""
    assert asked.ask.receipts is not None
    if "demonstrations" not in asked.ask.receipts.where:
        return 0, 0
    shown = asked.demonstrations(workshop)
    receipts = asked.own_receipts("demonstrations", shown, workshop)
    return len(shown), sum(row.target != receipt.label for row, receipt in zip(shown, receipts, strict=True))
