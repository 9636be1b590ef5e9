"""What a shown answer came to where questions may have none: right, made up or unreadable, alone and with receipts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from spillover.analysis.wording import difference_words, interval_words, plain
from spillover.evaluation.choice import Scoring
from spillover.evaluation.metrics import METRICS, OF_JSON
from spillover.records import PLAIN, AskedBy, Cell, CellScores, Example, FloatArray, Prediction, StudyResults
from spillover.report.section import Entry, Part, Row, note, number, table, text
from spillover.statistics.cells import ResampledScore, ScoreKey, resampled
from spillover.statistics.inference import infer
from spillover.steps.cell_steps import ScoreCell
from spillover.steps.predict import Predict
from spillover.steps.verdicts import WrittenVerdicts
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.study import Study

ALONE, WRITER, SHOWN, TOGETHER = "model alone", "small model alone", "what is shown of it", "model with receipts"
WHO = (ALONE, WRITER, SHOWN, TOGETHER)
"""The model asked plainly, who writes the receipts, the receipts as answers, and the model that is shown them."""
COMPARED = ("json_match", "hallucination")
"""Metrics whose differences are shown."""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerItems:
    """A cell of questions that are answered in JSON, in which answers of another model are shown beside the items."""

    asked: AskedBy
    writer: str
    """Whose answers are shown."""
    cell: Cell
    example_ids: tuple[str, ...]
    groups: tuple[str, ...]
    """The source that an item shares with others, item by item; empty for none."""
    statistics: Mapping[str, Mapping[str, FloatArray]]
    """One of `WHO`, and a metric of the task, to its statistics ``(n, k)``."""


@dataclass(frozen=True, slots=True)
class AnswerDifference:
    """A paired difference of the model with receipts to another one of `WHO`."""

    metric: str
    other: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class AnswerNumbers:
    """What one cell comes to."""

    items: AnswerItems
    values: Mapping[str, Mapping[str, float]]
    """One of `WHO`, and a metric, to its value."""
    differences: tuple[AnswerDifference, ...]

    @property
    def plain(self) -> Mapping[str, object]:
        """The numbers as plain data."""
        return {
            **{"asked": self.items.asked.variant, "ask": self.items.asked.ask, "writer": self.items.writer},
            **{"tested_on": self.items.cell.tested_on, "shots": self.items.cell.shots},
            "values": {who: dict(values) for who, values in self.values.items()},
            "less": [
                {"metric": row.metric, "other": row.other, "value": row.value, "low": row.low, "high": row.high}
                for row in self.differences
            ],
        }


def answer_items(study: Study, store: Store) -> tuple[AnswerItems, ...]:
    """Return every finished cell of questions answered in JSON in which answers are shown beside items."""
    steps = [step for step in (*study.scores, *study.asked_otherwise) if store.has(step)]
    return tuple(_read(steps, Workshop(store)))


def _read(steps: Sequence[ScoreCell], workshop: Workshop) -> Iterator[AnswerItems]:
    by_cell = {(step.predictions.model, step.predictions.cell): step.predictions for step in steps}
    store = workshop.store
    for asked in by_cell.values():
        if not isinstance(asked, Predict):
            continue
        alone, verdicts = by_cell.get((asked.model, replace(asked.cell, ask=PLAIN))), dict(asked.receipts).get("test")
        names = [name for name in OF_JSON if name in asked.data.task.metrics]
        if alone is None or not isinstance(verdicts, WrittenVerdicts) or not names:
            continue
        rows = asked.examples(workshop)[0]
        shown = asked.shown_receipts("test", rows, workshop)
        answered = {
            ALONE: alone.answered(store),
            WRITER: verdicts.step.predictions.answered(store),
            SHOWN: as_answers(rows, [receipt.label for receipt in shown]),
            TOGETHER: asked.answered(store),
        }
        assert asked.ask.receipts is not None
        yield AnswerItems(
            AskedBy(asked.model, asked.cell.ask),
            asked.ask.receipts.of,
            asked.cell,
            tuple(row.id for row in rows),
            tuple(row.group for row in rows),
            {who: statistics_of(names, given) for who, given in answered.items()},
        )


def as_answers(rows: Sequence[Example], shown: Sequence[str]) -> list[Prediction]:
    """Return what a model that copies what it is shown would answer."""
    return [Prediction(row.id, row.target, json.dumps({"answer": text})) for row, text in zip(rows, shown, strict=True)]


def statistics_of(metrics: Sequence[str], predictions: Sequence[Prediction]) -> dict[str, FloatArray]:
    """Return each metric's statistics ``(n, k)``."""
    return {name: METRICS[name].statistics(predictions, Scoring()) for name in metrics}


def answer_numbers(results: StudyResults, items: AnswerItems, *, resample_count: int, level: float) -> AnswerNumbers:
    """Return what one cell comes to; differences are paired, as every other of a study."""
    table_of = {
        ScoreKey(who, items.cell, metric): CellScores(
            who, items.cell, metric, items.example_ids, rows, items.groups if any(items.groups) else ()
        )
        for who, statistics in items.statistics.items()
        for metric, rows in statistics.items()
    }
    found = resampled(results, table_of, resample_count=resample_count)
    scores = {(key.variant, key.metric): score for key, score in found.items()}
    values = {
        who: {metric: scores[who, metric].value for metric in statistics}
        for who, statistics in items.statistics.items()
    }
    differences = tuple(
        _difference(results, metric, other, (scores[TOGETHER, metric], scores[other, metric]), level)
        for metric in COMPARED
        for other in (ALONE, WRITER)
        if (TOGETHER, metric) in scores
    )
    return AnswerNumbers(items, values, differences)


def _difference(
    results: StudyResults, metric: str, other: str, pair: tuple[ResampledScore, ResampledScore], level: float
) -> AnswerDifference:
    told = infer([[pair]], results.metrics[metric], level=level, margin=results.margin)
    return AnswerDifference(metric, other, pair[0].value - pair[1].value, told.low, told.high)


def answer_parts(found: Sequence[AnswerNumbers]) -> tuple[Part, ...]:
    """Return the tables of questions that may have no answer; nothing where none were asked."""
    if not found:
        return ()
    metrics = [name for name in OF_JSON if any(name in row.items.statistics[ALONE] for row in found)]
    titles = [METRICS[name].card.name for name in metrics]
    values = table(
        "Questions that may have no answer",
        ("who", "asked", "tested on", number("shots"), *map(number, titles), number("items")),
        [_value_row(row, who, metrics) for row in found for who in WHO],
        fact_count=4,
    )
    less = table(
        "With receipts less each alone",
        ("asked", "tested on", number("shots"), "less", "metric", number("difference")),
        [_difference_row(row, item) for row in found for item in row.differences],
        fact_count=5,
    )
    lead = text(
        "Where questions may have no answer, a model is shown what a smaller one wrote on the same item. Its own "
        "answer is compared with that, with what it answers plainly, and with what the smaller one answers by itself."
    )
    told = note(
        "Answers are asked for as JSON. One that cannot be read is wrong to every question, those without an answer "
        "included, and is no answer: the hallucination rate is the share of questions without an answer that are "
        "given one. What is shown is the small model's answer, or ? where it is less sure than the ask wants."
    )
    return (lead, values, told, less)


def _value_row(row: AnswerNumbers, who: str, metrics: Sequence[str]) -> Row:
    values = row.values[who]
    shown = {name: plain(value) for name, value in values.items()}
    if values.get("valid_json") == 0 and "json_match_valid" in shown:
        shown["json_match_valid"] = "–"
    return (who, *_facts(row), *(shown.get(name, "–") for name in metrics), str(len(row.items.example_ids)))


def _difference_row(row: AnswerNumbers, item: AnswerDifference) -> Row:
    words = difference_words(item.value, item.low, item.high)
    entry = Entry(words, small=(interval_words(item.low, item.high),))
    return (*_facts(row), item.other, METRICS[item.metric].card.name, entry)


def _facts(row: AnswerNumbers) -> tuple[str, str, str]:
    items = row.items
    seed = f", seed {items.cell.demonstration_seed}" if items.cell.demonstration_seed else ""
    asked = f"{items.asked.variant}, {items.asked.ask} of {items.writer}"
    return asked, items.cell.tested_on, f"{items.cell.shots}{seed}"
