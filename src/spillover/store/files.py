"""How rows are written into a step's folder and read back: one JSON object a line, exact floats."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import from_json

from spillover.prompts.encoding import TokenIds, common_prefix_length
from spillover.records import Cell, FloatArray, Prediction, PromptCard
from spillover.tasks.prepare import PreparedTask, from_record, to_record

ROWS = "rows.json"
PREDICTIONS = "predictions.jsonl"
PROMPT_IDS = "prompt_ids.json"
_STORED = {"raw_answer": "answer"}
"""Fields of a prediction that have another name in its file."""
_ANSWER = re.compile(rb'"answer": ("(?:[^"\\]|\\.)*")')
"""The answer in a line of predictions; quotes within a text are escaped, so that no text can look like it."""


def write_json(path: Path, value: object) -> None:
    """Write plain data."""
    path.write_text(json.dumps(value, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read plain data."""
    return from_json(path.read_bytes())


def write_prepared(path: Path, prepared: PreparedTask) -> None:
    """Write a task's rows."""
    write_json(path, to_record(prepared))


def read_prepared(path: Path) -> PreparedTask:
    """Read a task's rows."""
    return from_record(read_json(path))


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write predictions, one a line, in order."""
    rows = map(asdict, predictions)
    _write_lines(path, ({_STORED.get(name, name): value for name, value in row.items()} for row in rows))


def read_predictions(path: Path) -> list[Prediction]:
    """Read predictions in order."""
    return parse_predictions(prediction_lines(path))


def prediction_lines(path: Path) -> list[bytes]:
    """Return one line a prediction, in order; parsing them is what takes time."""
    return path.read_bytes().splitlines()


def parse_predictions(lines: Iterable[bytes]) -> list[Prediction]:
    """Return the predictions of lines."""
    return [
        Prediction(
            row["example_id"],
            row["target"],
            row["answer"],
            tuple(row["log_likelihoods"]),
            tuple(row["token_ids"]),
            tuple(row["options"]),
            tuple(row["content_free"]),
            tuple(row["premise"]),
        )
        for row in map(from_json, lines)
    ]


def count_answers(lines: Iterable[bytes]) -> Counter[bytes]:
    """Return how often each answer, still as JSON, stands in lines of predictions; a third of the time of parsing."""
    return Counter(match[1] for line in lines if (match := _ANSWER.search(line)))


def write_prompt(path: Path, card: PromptCard) -> None:
    """Write the rendered prompt of a cell; how a study calls its ask is no part of what is stored."""
    data = asdict(card)
    del data["cell"]["ask"]
    write_json(path, data)


def read_prompt(path: Path) -> PromptCard:
    """Read the rendered prompt of a cell."""
    data = read_json(path)
    answers = {answer: tuple(ids) for answer, ids in data["answer_token_ids"].items()}
    cell, ids = Cell(**data["cell"]), tuple(data["token_ids"])
    return PromptCard(**{**data, "cell": cell, "token_ids": ids, "answer_token_ids": answers})


def write_prompt_ids(path: Path, prompts: Sequence[TokenIds]) -> None:
    """Write the token ids of a cell's prompts, what they begin with once."""
    shared = common_prefix_length(prompts)
    write_json(path, {"shared": list(prompts[0][:shared]), "own": [list(ids[shared:]) for ids in prompts]})


def read_prompt_ids(path: Path) -> list[TokenIds]:
    """Read the token ids of a cell's prompts, in the order of its examples."""
    data = read_json(path)
    return [(*data["shared"], *ids) for ids in data["own"]]


def write_statistics(path: Path, example_ids: Iterable[str], statistics: Mapping[str, FloatArray]) -> None:
    """Write per-example statistics of several metrics."""
    rows = {metric: values.tolist() for metric, values in statistics.items()}
    write_json(path, {"example_ids": list(example_ids), "statistics": rows})


def read_statistics(path: Path) -> tuple[tuple[str, ...], dict[str, FloatArray]]:
    """Return example ids and, for each metric, statistics ``(n, k)``."""
    data = read_json(path)
    arrays = {metric: np.array(rows, dtype=np.float64) for metric, rows in data["statistics"].items()}
    return tuple(data["example_ids"]), arrays


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as opened:
        for row in rows:
            opened.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
