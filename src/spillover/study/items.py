"""Reads a finished study's items: what was asked in a cell, what a model answered, and what a variant changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic_core import from_json

from spillover.errors import SpilloverError
from spillover.evaluation.choice import answer_shares, chosen_answer
from spillover.records import (
    BASE,
    AskedItem,
    CellChanges,
    CellScores,
    CommonAnswer,
    FloatArray,
    ItemAnswer,
    ItemChange,
)
from spillover.steps.cell_steps import AskCell, ScoreCell, TaskScores
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.store import Store

SMALLEST_CHANGE = 1e-9
"""Of an item's score; smaller differences are rounding."""
MOST_ITEMS = 10
"""Regressions, and gains, of a cell that are handed to the report; the others are counted."""


def by_cell(steps: Iterable[ScoreCell]) -> list[ScoreCell]:
    """Return steps in the order that an `ItemReader` reads each file once in: cell by cell, the base first."""
    return sorted(steps, key=lambda step: (step.predictions.cell, step.predictions.variant is not None))


@dataclass(frozen=True, slots=True)
class Compared:
    """What each item of a cell scores by itself with two models: the metric over that item alone."""

    metric: str
    example_ids: tuple[str, ...]
    before: FloatArray
    """``(n,)``"""
    after: FloatArray
    """``(n,)``"""
    changes: FloatArray
    """How much better each item scores ``(n,)``, exactly zero where only rounding remains."""

    @classmethod
    def of(cls, task: TaskScores, before: CellScores, after: CellScores) -> Compared:
        """Return what two models' statistics of the metric that a task is compared by come to, item by item."""
        card = task.metrics[task.compared_by]
        most = np.finfo(np.float64).max
        with np.errstate(over="ignore"):  # the perplexity of one long text alone may be more than a float holds
            old, new = (np.clip(card.combine(scored.statistics), -most, most) for scored in (before, after))
        changes = new - old if card.higher_is_better else old - new
        kept = np.where(np.abs(changes) < SMALLEST_CHANGE, 0.0, changes)
        return cls(after.metric, after.example_ids, old, new, kept)


class ItemReader:
    """Reads items from a store without loading a model or a tokenizer; keeps tasks' rows, the last cell's prompts and
    what the base answered in it, and the last answers.

    Args:
        store: Where the study's steps are finished.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._workshop = store, Workshop(store)
        self._cell, self._items = "", dict[str, AskedItem]()
        self._base, self._base_lines = "", list[bytes]()
        self._last, self._last_lines = "", list[bytes]()

    def compared(self, base: ScoreCell, step: ScoreCell) -> Compared:
        """Return what each item of a cell scores with two models."""
        found = base.task_scores((base, step), self._workshop)
        return Compared.of(found, *(scored for scored in found.scores if scored.metric == found.compared_by))

    def asked(self, step: AskCell, example_ids: Sequence[str]) -> tuple[AskedItem, ...]:
        """Return items of a cell as they were asked, in the order of ``example_ids``.

        Args:
            step: Of the base; variants are asked the same.
            example_ids: Which items.

        Raises:
            SpilloverError: If an id is not among the cell's rows.
        """
        if self._cell != step.key:
            items = step.asked_items(self._workshop)
            self._cell, self._items = step.key, {item.example_id: item for item in items}
        unknown = [name for name in example_ids if name not in self._items]
        if unknown:
            where = self._store.folder(step)
            raise SpilloverError(
                f"{where}: row {unknown[0]!r} is not among the rows the task has now; remove the folder and run again"
            )
        return tuple(self._items[name] for name in example_ids)

    def answers(self, step: ScoreCell, scores: FloatArray, indices: Sequence[int]) -> tuple[ItemAnswer, ...]:
        """Return what a model answered to the items at ``indices`` of its cell.

        Args:
            step: The model in the cell.
            scores: What each item of the cell scores, ``(n,)``.
            indices: Positions in the order of the cell's examples.
        """
        lines, rule = self._prediction_lines(step.predictions), step.finished_rule(self._store)
        return tuple(
            ItemAnswer(
                step.answer_text(prediction, rule),
                float(scores[index]),
                tuple(map(float, answer_shares(prediction, rule))) if prediction.options or rule.answers else (),
                step.answer_fault(prediction, rule),
            )
            for index, prediction in zip(indices, files.parse_predictions(map(lines.__getitem__, indices)), strict=True)
        )

    def changes(
        self, base: ScoreCell, variant: ScoreCell, compared: Compared | None = None, *, most: int
    ) -> CellChanges:
        """Return the items of a cell that a variant and the base score differently.

        Args:
            base: The base in the cell.
            variant: The variant in the same cell.
            compared: What their items score, where it was read already.
            most: The most regressions and the most gains to return; among equal ones those asked first.
        """
        compared = compared or self.compared(base, variant)
        falling = np.argsort(compared.changes, kind="stable")
        worse = falling[compared.changes[falling] < 0].tolist()
        rising = np.argsort(-compared.changes, kind="stable")
        better = rising[compared.changes[rising] > 0].tolist()
        shown = [*worse[:most], *better[:most]]
        items = self.asked(base.predictions, [compared.example_ids[index] for index in shown])
        answers = (self.answers(base, compared.before, shown), self.answers(variant, compared.after, shown))
        found = [ItemChange(*row) for row in zip(items, *answers, strict=True)]
        regressions, gains = tuple(found[: len(worse[:most])]), tuple(found[len(worse[:most]) :])
        model, cell = variant.predictions.model, variant.predictions.cell
        return CellChanges(model, cell, compared.metric, regressions, gains, len(worse), len(better))

    def common_answer(self, step: ScoreCell) -> CommonAnswer:
        """Return what a model answers most often in a cell, the first of equally frequent answers."""
        lines, rule = self._prediction_lines(step.predictions), step.finished_rule(self._store)
        if rule.kind == "raw" and not rule.length_normalised:
            ((answer, count),) = files.count_answers(lines).most_common(1)
            return CommonAnswer(str(from_json(answer)), count / len(lines))
        chosen = Counter(chosen_answer(prediction, rule) for prediction in files.parse_predictions(lines))
        ((text, count),) = chosen.most_common(1)
        return CommonAnswer(text, count / len(lines))

    def _prediction_lines(self, source: AskCell) -> list[bytes]:
        """Return a cell's predictions, not parsed yet; the base's are asked for again with every variant."""
        if source.key == self._base:
            return self._base_lines
        if source.key != self._last:
            path = self._store.file(source, files.PREDICTIONS)
            self._last, self._last_lines = source.key, files.prediction_lines(path)
        if source.model == BASE:
            self._base, self._base_lines = self._last, self._last_lines
        return self._last_lines
