"""What a model answered with a classifier's verdict in its prompt, item by item, read from a finished study."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spillover.evaluation.choice import Scoring, ScoringKind, answer_shares, chosen_answer, of_cell
from spillover.questions.receipts.beyond import cells_with_receipts, sayings, validated
from spillover.questions.receipts.cascade import Cascade, Judged, cascade
from spillover.questions.receipts.confidence import before_scaling
from spillover.questions.receipts.said import Interpretation, interpretation
from spillover.records import PLAIN, AskedBy, Cell, Example, Prediction
from spillover.steps.cell_steps import AskCell, ScoreCell
from spillover.steps.predict import Predict
from spillover.steps.supervise import Supervise
from spillover.steps.supervise_cells import Classify
from spillover.steps.verdicts import AskedVerdicts, Shares
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.left_out import left_out
from spillover.study.study import Study
from spillover.tasks.ask import Corrupt

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
    unscaled: tuple[float, ...] = ()
    """``confidence`` before temperature scaling; empty where no temperature was fitted."""
    cascade: Cascade | None = None
    """The classifier where it is sure enough, the model alone elsewhere; None where no validation rows were asked."""
    is_spoilt: bool = False
    """Whether the ask spoils what is shown, as controls do."""
    said: tuple[Interpretation, ...] = ()
    """What the model said of its answers, where it was asked; beside the first of `SCORINGS`."""


@dataclass(frozen=True, slots=True)
class _Both:
    """Rows with what the classifier and the model asked plainly say of them."""

    rows: Sequence[Example]
    shares: Shares
    """Of the classifier."""
    alone: Sequence[Prediction]
    rule: Scoring
    """How the task's answers are compared, but for its kind."""

    def judged(self, scoring: ScoringKind) -> Judged:
        """Return their choices."""
        rule, own = of_cell(replace(self.rule, kind=scoring), self.alone), self.shares.receipts()
        return Judged(
            tuple(row.target for row in self.rows),
            tuple(chosen_answer(row, rule) for row in self.alone),
            tuple(receipt.label for receipt in own),
            tuple(receipt.confidence for receipt in own),
        )

    def product(self, scoring: ScoringKind) -> tuple[str, ...]:
        """Return the answers of the largest product of both models' shares."""
        rule = of_cell(replace(self.rule, kind=scoring), self.alone)
        columns = [self.rule.answers.index(label) for label in self.shares.labels]
        return tuple(
            self.shares.labels[int(np.argmax(answer_shares(row, rule)[columns] * share))]
            for row, share in zip(self.alone, self.shares.values, strict=True)
        )


def receipt_items(study: Study, store: Store) -> tuple[ReceiptItems, ...]:
    """Return every finished cell in which verdicts are shown beside items, under each of `SCORINGS`."""
    steps = [step for step in (*study.scores, *study.asked_otherwise) if store.has(step)]
    missing = left_out(steps, store)
    plain = {(step.predictions.model, step.predictions.cell): step.predictions for step in steps}
    workshop, found = Workshop(store), list[ReceiptItems]()
    for step, asked in cells_with_receipts(study):
        alone = plain.get((asked.model, replace(asked.cell, ask=PLAIN)))
        if alone is not None and store.has(step):
            found += _read(study, step, asked, alone, workshop, missing.of(asked.cell))
    return tuple(found)


def _read(
    study: Study, step: ScoreCell, asked: Predict, alone: AskCell, workshop: Workshop, missing: Collection[str]
) -> Iterator[ReceiptItems]:
    assert asked.ask.receipts is not None
    answered, plainly = asked.answered(workshop.store), alone.answered(workshop.store)
    kept = {row.example_id for row in answered} & {row.example_id for row in plainly} - set(missing)
    given, before = ([row for row in rows if row.example_id in kept] for rows in (answered, plainly))
    every = asked.examples(workshop)[0]
    receipts = zip(every, asked.shown_receipts("test", every, workshop), strict=True)
    shown = [receipt for row, receipt in receipts if row.id in kept]
    examples = [row for row in every if row.id in kept]
    both = _Both(examples, asked.shares("test", examples, workshop), before, step.rule)
    told, wrong = _demonstrations(asked, workshop)
    validation = _validation(study, step.rule, asked, workshop)
    for scoring in SCORINGS:
        after, judged = of_cell(replace(step.rule, kind=scoring), given), both.judged(scoring)
        yield ReceiptItems(
            AskedBy(asked.model, asked.cell.ask),
            asked.ask.receipts.of,
            asked.cell,
            scoring,
            tuple(example.id for example in examples),
            judged.targets,
            judged.alone,
            judged.own,
            judged.confidence,
            tuple(receipt.label for receipt in shown),
            tuple(chosen_answer(row, after) for row in given),
            both.product(scoring),
            told,
            wrong,
            _unscaled(asked, both.shares, workshop.store),
            cascade(validation.judged(scoring), judged.own, judged.confidence, judged.alone) if validation else None,
            asked.ask.receipts.corrupt != Corrupt(),
            _said(study, asked, workshop) if scoring == SCORINGS[0] else (),
        )


def _demonstrations(asked: Predict, workshop: Workshop) -> tuple[int, int]:
    """Return how many demonstrations carry a receipt, and in how many of them the classifier is wrong."""
    assert asked.ask.receipts is not None
    if "demonstrations" not in asked.ask.receipts.where:
        return 0, 0
    shown = list({row.id: row for rows in asked.demonstrations(workshop) for row in rows}.values())
    receipts = asked.own_receipts("demonstrations", shown, workshop)
    return len(shown), sum(row.target != receipt.label for row, receipt in zip(shown, receipts, strict=True))


def _unscaled(asked: Predict, shares: Shares, store: Store) -> tuple[float, ...]:
    step = dict(asked.receipts)["test"].step
    classifier = step.variant if isinstance(step, Classify) else None
    if not isinstance(classifier, Supervise):
        return ()
    log = classifier.log(store)
    return before_scaling(shares, log["temperature"]) if log["calibration"] else ()


def _validation(study: Study, rule: Scoring, asked: Predict, workshop: Workshop) -> _Both | None:
    """Return what both say of the validation rows of a cell; None where they were not asked, or not yet."""
    steps, store = validated(study, asked), workshop.store
    if steps is None or not (store.has(steps.alone) and store.has(steps.classifier)):
        return None
    answered = {row.example_id: row for row in steps.alone.answered(store)}
    rows = [row for row in steps.alone.examples(workshop)[0] if row.id in answered]
    shares = AskedVerdicts(steps.classifier, rule.answers).shares(rows, store).within(rule.answers)
    return _Both(rows, shares, [answered[row.id] for row in rows], rule)


def _said(study: Study, asked: Predict, workshop: Workshop) -> tuple[Interpretation, ...]:
    """Return what the model said of its answers, as far as it was asked."""
    inputs = {example.id: "\n".join(example.fields.values()) for example in asked.examples(workshop)[0]}
    return tuple(
        interpretation(step.about, step.said(workshop.store), inputs, shots=asked.cell.shots)
        for step in sayings(study, asked)
        if workshop.store.has(step)
    )
