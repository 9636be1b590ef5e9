"""What receipts have to be done beyond the grid: validation rows for a cascade, and what models say of verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from spillover.errors import UserError, unknown_name
from spillover.questions.receipts.keys import ReceiptsKeys
from spillover.questions.receipts.step import AskOfReceipt
from spillover.records import PLAIN
from spillover.steps.cell_steps import AskCell, ScoreCell
from spillover.steps.predict import Predict
from spillover.steps.step import Step
from spillover.steps.supervise_cells import Classify
from spillover.study.study import Study


@dataclass(frozen=True, slots=True)
class Validated:
    """The two steps that ask model and classifier the validation rows of one cell."""

    alone: Predict
    classifier: Predict | Classify


def keys_of(study: Study) -> ReceiptsKeys:
    """Return what the study file asks of receipts."""
    own = ReceiptsKeys.model_fields.keys() & study.source.keys()
    return ReceiptsKeys.model_validate({key: study.source[key] for key in own})


def cells_with_receipts(study: Study) -> Iterator[tuple[ScoreCell, Predict]]:
    """Yield every cell in which verdicts, labels of an answer set, are shown beside the items."""
    for step in (*study.scores, *study.asked_otherwise):
        asked = step.predictions
        if isinstance(asked, Predict) and asked.data.task.answers:
            receipts = asked.ask.receipts
            if receipts and "test" in receipts.where:
                yield step, asked


def validated(study: Study, asked: Predict) -> Validated | None:
    """Return what asks the validation rows of a cell: training rows that no variant of the study learns from."""
    count = keys_of(study).cascade
    if not count:
        return None
    task = next(task for task in study.suite_tasks if task.name == asked.cell.tested_on)
    classifier = dict(asked.receipts)["test"].step
    assert isinstance(classifier, AskCell)
    plainly = replace(asked.cell, ask=PLAIN)
    alone = task.asking(study.asked_model(asked.variant), plainly, study.pool(count))
    assert isinstance(alone, Predict)
    return Validated(alone, task.asking(study.asked_model(classifier.variant), classifier.cell, study.pool(count)))


def sayings(study: Study, asked: Predict) -> list[AskOfReceipt]:
    """Return what asks a model of its answers in a cell; which example mattered only where there is more than one."""
    return [
        AskOfReceipt(asked, about, entry.items)
        for entry in keys_of(study).interpret
        if entry.ask == asked.cell.ask and entry.only.covers(asked.cell)
        for about in entry.about
        if about != "example" or asked.cell.shots > 1
    ]


def steps_beyond(study: Study) -> list[Step]:
    """Return everything that is to be done beyond the grid.

    Raises:
        UserError: `interpret` names no ask, or one that shows no receipt beside the items.
    """
    cells = [asked for _, asked in cells_with_receipts(study)]
    for entry in keys_of(study).interpret:
        if entry.ask not in study.asks:
            raise UserError(f"interpret: {unknown_name('ask', entry.ask, study.asks)}")
        if not any(asked.cell.ask == entry.ask and entry.only.covers(asked.cell) for asked in cells):
            raise UserError(
                f"interpret: ask {entry.ask!r} shows no receipt beside the items of any of these cells; name one that "
                "does, or other cells in only"
            )
    if keys_of(study).cascade and not cells:
        raise UserError("cascade: no ask shows receipts beside the items; add one to asks, or leave cascade out")
    found: list[Step] = []
    for asked in cells:
        if rows := validated(study, asked):
            found += [rows.alone, rows.classifier]
        found += sayings(study, asked)
    return found
