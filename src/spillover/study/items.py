"""Reads a finished study's items: what was asked in a cell, what a model answered, and what a variant changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from pydantic_core import from_json

from spillover.errors import SpilloverError
from spillover.evaluation.choice import Scoring, answer_shares, chosen_answer
from spillover.evaluation.metrics import METRICS
from spillover.evaluation.text_metrics import unparsed
from spillover.records import (
    BASE,
    AskedItem,
    CellChanges,
    CellScores,
    CommonAnswer,
    Example,
    FloatArray,
    ItemAnswer,
    ItemChange,
    MetricCard,
    Prediction,
)
from spillover.steps.harness import AskHarness, ScoreHarness
from spillover.steps.predict import Predict
from spillover.steps.score import Score
from spillover.store import files
from spillover.store.store import Store
from spillover.study.harness_scores import task_scores
from spillover.tasks.prepare import PreparedTask, protocol_rows
from spillover.tasks.task import Task

SMALLEST_CHANGE = 1e-9
"""Of an item's score; smaller differences are rounding."""
MOST_ITEMS = 10
"""Regressions, and gains, of a cell that are handed to the report; the others are counted."""
ItemStep = Score | ScoreHarness
"""What a model scores in a cell, of our own tasks or of lm-eval's."""


AnyStep = TypeVar("AnyStep", Score, ScoreHarness)


def by_cell(steps: Iterable[AnyStep]) -> list[AnyStep]:
    """Return steps in the order that an `ItemReader` reads each file once in: cell by cell, the base first."""
    return sorted(steps, key=lambda step: (step.predictions.cell, step.predictions.variant is not None))


def compared_metric(task: Task, metrics: Sequence[str]) -> str:
    """Return what the items of a task are compared by: right or wrong for choices, else the primary metric."""
    return "accuracy" if "accuracy" in metrics else task.primary_metric


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
    def of(cls, card: MetricCard, before: CellScores, after: CellScores) -> Compared:
        """Return what two models' statistics of a metric come to, item by item."""
        most = np.finfo(np.float64).max
        with np.errstate(over="ignore"):  # the perplexity of one long text alone may be more than a float holds
            old, new = (np.clip(card.combine(scored.statistics), -most, most) for scored in (before, after))
        changes = new - old if card.higher_is_better else old - new
        kept = np.where(np.abs(changes) < SMALLEST_CHANGE, 0.0, changes)
        return cls(after.metric, after.example_ids, old, new, kept)


def _answer_text(prediction: Prediction, rule: Scoring) -> str:
    """Return the answer; of a scored text, which lm-eval has and we do not, its log-likelihood."""
    if prediction.log_likelihoods and not (prediction.options or rule.answers):
        return f"{prediction.log_likelihoods[0]:.2f} nats"
    return chosen_answer(prediction, rule)


def answer_fault(prediction: Prediction, task: Task) -> str:
    """Return what may be the task's fault in a generated text rather than the model's; empty for none."""
    if prediction.log_likelihoods:
        return ""
    if not prediction.raw_answer.strip():
        return "empty answer"
    if "unparsed" in task.metrics and unparsed([prediction], Scoring())[0, 0]:
        return "no number given"
    most = task.generation.max_new_tokens
    return f"cut off at {most} tokens" if len(prediction.token_ids) >= most else ""


class ItemReader:
    """Reads items from a store without loading a model or a tokenizer; keeps tasks' rows, the last cell's prompts and
    what the base answered in it, and the last answers.

    Args:
        store: Where the study's steps are finished.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: dict[tuple[str, str], tuple[PreparedTask, tuple[Example, ...]]] = {}
        self._cell, self._items = "", dict[str, AskedItem]()
        self._base, self._base_lines = "", list[bytes]()
        self._last, self._last_lines = "", list[bytes]()

    def compared(self, base: ItemStep, step: ItemStep) -> Compared:
        """Return what each item of a cell scores with two models."""
        if isinstance(base, Score) and isinstance(step, Score):
            before, after = self._scores(base), self._scores(step)
            return Compared.of(METRICS[after.metric].card, before, after)
        if isinstance(base, ScoreHarness) and isinstance(step, ScoreHarness):
            found = task_scores((base, step), self._store)
            return Compared.of(found.cards[found.primary], *found.compared)
        raise TypeError(f"{base.label} and {step.label} are not of one cell")

    def asked(self, step: Predict | AskHarness, example_ids: Sequence[str]) -> tuple[AskedItem, ...]:
        """Return items of a cell as they were asked, in the order of ``example_ids``.

        Args:
            step: Of the base; variants are asked the same.
            example_ids: Which items.

        Raises:
            SpilloverError: If an id is not among the cell's rows.
        """
        if self._cell != step.key:
            self._cell, self._items = step.key, self._all_items(step)
        unknown = [name for name in example_ids if name not in self._items]
        if unknown:
            where = self._store.folder(step)
            raise SpilloverError(
                f"{where}: row {unknown[0]!r} is not among the rows the task has now; remove the folder and run again"
            )
        return tuple(self._items[name] for name in example_ids)

    def answers(self, step: ItemStep, scores: FloatArray, indices: Sequence[int]) -> tuple[ItemAnswer, ...]:
        """Return what a model answered to the items at ``indices`` of its cell.

        Args:
            step: The model in the cell.
            scores: What each item of the cell scores, ``(n,)``.
            indices: Positions in the order of the cell's examples.
        """
        source, rule = step.predictions, step.rule if isinstance(step, Score) else Scoring()
        lines = self._prediction_lines(source)
        return tuple(
            ItemAnswer(
                _answer_text(prediction, rule),
                float(scores[index]),
                tuple(map(float, answer_shares(prediction, rule))) if prediction.options or rule.answers else (),
                answer_fault(prediction, source.data.task) if isinstance(source, Predict) else "",
            )
            for index, prediction in zip(indices, files.parse_predictions(map(lines.__getitem__, indices)), strict=True)
        )

    def changes(self, base: ItemStep, variant: ItemStep, compared: Compared | None = None, *, most: int) -> CellChanges:
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

    def common_answer(self, step: ItemStep) -> CommonAnswer:
        """Return what a model answers most often in a cell, the first of equally frequent answers."""
        lines, rule = self._prediction_lines(step.predictions), step.rule if isinstance(step, Score) else Scoring()
        if rule.kind == "raw" and not rule.length_normalised:
            ((answer, count),) = files.count_answers(lines).most_common(1)
            return CommonAnswer(str(from_json(answer)), count / len(lines))
        chosen = Counter(chosen_answer(prediction, rule) for prediction in files.parse_predictions(lines))
        ((text, count),) = chosen.most_common(1)
        return CommonAnswer(text, count / len(lines))

    def _prediction_lines(self, source: Predict | AskHarness) -> list[bytes]:
        """Return a cell's predictions, not parsed yet; the base's are asked for again with every variant."""
        if source.key == self._base:
            return self._base_lines
        if source.key != self._last:
            path = self._store.file(source, files.PREDICTIONS)
            self._last, self._last_lines = source.key, files.prediction_lines(path)
        if source.model == BASE:
            self._base, self._base_lines = self._last, self._last_lines
        return self._last_lines

    def _scores(self, step: Score) -> CellScores:
        ids, statistics = step.statistics(self._store)
        metric = compared_metric(step.predictions.data.task, tuple(statistics))
        return CellScores(step.predictions.model, step.predictions.cell, metric, ids, statistics[metric])

    def _all_items(self, step: Predict | AskHarness) -> dict[str, AskedItem]:
        if isinstance(step, AskHarness):
            return {item.example_id: item for item in step.asked.asked_items()}
        prepared, rows = self._test_rows(step)
        examples = rows[: step.test_limit]
        _, prompts = step.rendered(prepared, examples)
        ids: Sequence[tuple[int, ...] | None] = [None] * len(examples)
        if files.PROMPT_IDS in self._store.manifest(step)["files"]:
            ids = files.read_prompt_ids(self._store.file(step, files.PROMPT_IDS))
        answers = step.data.task.answers
        return {
            example.id: AskedItem(example.id, prompt, example.target, example.options or answers, token_ids)
            for example, prompt, token_ids in zip(examples, prompts, ids, strict=True)
        }

    def _test_rows(self, step: Predict) -> tuple[PreparedTask, tuple[Example, ...]]:
        name = step.data.key, step.protocol
        if name not in self._rows:
            prepared = step.data.stored(self._store)
            self._rows[name] = prepared, protocol_rows(prepared, split="test", protocol=step.protocol)[0]
        return self._rows[name]
