"""Reads a finished study's items: what was asked in a cell, what a model answered, and what a variant changed."""

from collections.abc import Mapping, Sequence

import numpy as np

from spillover.errors import SpilloverError
from spillover.evaluation.choice import answer_shares, chosen_answer
from spillover.evaluation.metrics import METRICS
from spillover.prompts.demonstrations import choose
from spillover.prompts.template import Template, demonstrated_prompt
from spillover.records import AskedItem, CellChanges, CellScores, Example, FloatArray, ItemAnswer, ItemChange
from spillover.study import files
from spillover.study.step import Predict, Score
from spillover.study.store import Store
from spillover.tasks.prepare import PreparedTask, protocol_rows
from spillover.tasks.task import Task

SMALLEST_CHANGE = 1e-9
"""Of an item's score; smaller differences are rounding."""


def rendered_prompts(
    step: Predict, prepared: PreparedTask, examples: Sequence[Example]
) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """Return a cell's demonstrations, and the prompt of each example behind them."""
    shown = choose(prepared.demonstrations, step.cell.shots, seed=step.cell.demonstration_seed)
    template = Template(step.template)
    return shown, tuple(demonstrated_prompt(template, shown, example.fields) for example in examples)


def compared_metric(task: Task, metrics: Sequence[str]) -> str:
    """Return what the items of a task are compared by: right or wrong for choices, else the primary metric."""
    return "accuracy" if "accuracy" in metrics else task.primary_metric


def item_scores(scores: CellScores) -> FloatArray:
    """Return what each item scores by itself: the metric over that item alone, ``(n,)``."""
    return METRICS[scores.metric].card.combine(scores.statistics)


class ItemReader:
    """Reads items from a store without loading a model or a tokenizer; keeps tasks' rows and the last cell's prompts.

    Args:
        store: Where the study's steps are finished.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: dict[tuple[str, str], tuple[PreparedTask, tuple[Example, ...]]] = {}
        self._cell, self._items = "", dict[str, AskedItem]()

    def scores(self, step: Score) -> CellScores:
        """Return the per-example statistics by which a cell's items are compared."""
        ids, statistics = files.read_statistics(self._store.file(step.kind, step.key, "statistics.json"))
        metric = compared_metric(step.predictions.data.task, tuple(statistics))
        return CellScores(step.predictions.model, step.predictions.cell, metric, ids, statistics[metric])

    def asked(self, step: Predict, example_ids: Sequence[str]) -> tuple[AskedItem, ...]:
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
            where = self._store.folder(step.kind, step.key)
            raise SpilloverError(
                f"{where}: row {unknown[0]!r} is not among the rows the task has now; remove the folder and run again"
            )
        return tuple(self._items[name] for name in example_ids)

    def answers(self, step: Score, scores: CellScores, indices: Sequence[int]) -> tuple[ItemAnswer, ...]:
        """Return what a model answered to the items at ``indices`` of its cell.

        Args:
            step: The model in the cell.
            scores: Of the same step, by what its items are compared.
            indices: Positions in the order of the cell's examples.
        """
        source = step.predictions
        path = self._store.file(source.kind, source.key, files.PREDICTIONS)
        values = item_scores(scores)
        return tuple(
            ItemAnswer(
                chosen_answer(prediction, step.rule),
                float(values[index]),
                tuple(map(float, answer_shares(prediction, step.rule))) if prediction.log_likelihoods else (),
            )
            for index, prediction in zip(indices, files.read_predictions(path, indices), strict=True)
        )

    def changes(
        self, base: Score, variant: Score, scores: Mapping[str, CellScores] | None = None, *, most: int
    ) -> CellChanges:
        """Return the items of a cell that a variant and the base score differently.

        Args:
            base: The base in the cell.
            variant: The variant in the same cell.
            scores: Step key to that by which items are compared, where it was read already.
            most: The most regressions and the most gains to return; among equal ones those asked first.
        """
        before, after = (scores[step.key] if scores else self.scores(step) for step in (base, variant))
        sign = 1 if METRICS[after.metric].card.higher_is_better else -1
        difference = sign * (item_scores(after) - item_scores(before))
        order = np.argsort(difference, kind="stable")
        worse = order[difference[order] < -SMALLEST_CHANGE].tolist()
        order = np.argsort(-difference, kind="stable")
        better = order[difference[order] > SMALLEST_CHANGE].tolist()
        shown = [*worse[:most], *better[:most]]
        items = self.asked(base.predictions, [after.example_ids[index] for index in shown])
        rows = zip(items, self.answers(base, before, shown), self.answers(variant, after, shown), strict=True)
        found = [ItemChange(*row) for row in rows]
        regressions, gains = tuple(found[: len(worse[:most])]), tuple(found[len(worse[:most]) :])
        return CellChanges(
            variant.predictions.model, after.cell, after.metric, regressions, gains, len(worse), len(better)
        )

    def _all_items(self, step: Predict) -> dict[str, AskedItem]:
        prepared, rows = self._test_rows(step)
        examples = rows[: step.test_limit]
        _, prompts = rendered_prompts(step, prepared, examples)
        ids: Sequence[tuple[int, ...] | None] = [None] * len(examples)
        if files.PROMPT_IDS in self._store.manifest(step.kind, step.key)["files"]:
            ids = files.read_prompt_ids(self._store.file(step.kind, step.key, files.PROMPT_IDS))
        answers = step.data.task.answers
        return {
            example.id: AskedItem(example.id, prompt, example.target, example.options or answers, token_ids)
            for example, prompt, token_ids in zip(examples, prompts, ids, strict=True)
        }

    def _test_rows(self, step: Predict) -> tuple[PreparedTask, tuple[Example, ...]]:
        name = step.data.key, step.protocol
        if name not in self._rows:
            prepared = files.read_prepared(self._store.file(step.data.kind, step.data.key, files.ROWS))
            self._rows[name] = prepared, protocol_rows(prepared, split="test", protocol=step.protocol)[0]
        return self._rows[name]
