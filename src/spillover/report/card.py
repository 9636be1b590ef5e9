"""A part for a model card: what fine-tuning changed, in Markdown and as the metadata that model hubs read."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spillover.analysis.wording import difference_words, interval_words, plain
from spillover.errors import UserError
from spillover.records import Measurement
from spillover.report.text import LIGHT_SYMBOLS, LONGEST_SENTENCE, markdown

BEGIN, END = "<!-- spillover: from here -->", "<!-- spillover: to here -->"
"""Around the part, so that it is found and written anew in a card that has more to say."""

OURS = "spillover"
"""What measured a result, by which ours are told from others in a card."""


@dataclass(frozen=True, slots=True)
class Result:
    """A task's primary metric in one cell."""

    variant: str
    tested_on: str
    relation: str
    condition: str
    """``2 shots``, with the prompt form and the demonstration seed where they are not the first."""
    metric: str
    value: float
    base_value: float
    difference: float
    low: float | None
    high: float | None
    item_count: int


def results_of(rows: Iterable[Measurement]) -> list[Result]:
    """Return the results that measurements hold."""
    return [
        Result(
            row.variant,
            row.tested_on,
            row.relation,
            _condition(row.shots, row.prompt_form, row.demonstration_seed),
            row.metric,
            row.value,
            row.base_value,
            row.difference,
            row.low,
            row.high,
            row.item_count,
        )
        for row in rows
        if row.is_primary
    ]


def read_results(path: Path) -> list[Result]:
    """Return the results in a report's measurements.csv.

    Raises:
        OSError: If it cannot be read.
        ValueError, KeyError: If it is something else.
    """
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Result(
                _name(row["variant"]),
                _name(row["tested_on"]),
                row["relation"],
                _condition(int(row["shots"]), int(row["prompt_form"]), int(row["demonstration_seed"])),
                _name(row["metric"]),
                float(row["value"]),
                float(row["base_value"]),
                float(row["difference"]),
                float(row["low"]) if row["low"] else None,
                float(row["high"]) if row["high"] else None,
                int(row["item_count"]),
            )
            for row in csv.DictReader(file)
            if row["is_primary"] == "True"
        ]


def _name(text: str) -> str:
    """Return a name without the apostrophe that keeps spreadsheets from running it."""
    return text[1:] if text[:1] == "'" and text[1:].startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _condition(shots: int, form: int, seed: int) -> str:
    parts = [f"{shots} shot{'s' if shots != 1 else ''}"]
    parts += [f"prompt {form}"] if form != 1 else []
    return ", ".join([*parts, *([f"demonstrations {seed}"] if seed else [])])


def card(
    existing: str, name: str, verdict: Mapping[str, Any], results: Sequence[Result], *, base: str, level: float
) -> str:
    """Return a model card that says what a variant gained and lost.

    Args:
        existing: The card so far; of it everything stays but our own part and results. Empty for a new one.
        name: Of the model where the card has none yet.
        verdict: Of the variant, as in summary.json.
        results: Of the variant.
        base: The base's name.
        level: Of the intervals.

    Raises:
        UserError: If the metadata of the existing card cannot be read.
    """
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    own = [
        EvalResult(
            task_type="text-generation",
            dataset_type=result.tested_on,
            dataset_name=result.tested_on,
            dataset_config=result.condition,
            dataset_split="test",
            metric_type=result.metric,
            metric_value=result.value,
            metric_name=f"{result.metric} (base: {plain(result.base_value)})",
            metric_args={
                "measured_by": OURS,
                "relation": result.relation,
                "base": result.base_value,
                "difference": result.difference,
                "interval": [result.low, result.high],
                "item_count": result.item_count,
            },
        )
        for result in results
    ]
    part = section(verdict, results, base=base, level=level)
    if not existing.strip():
        return f"---\n{ModelCardData(model_name=name, eval_results=own).to_yaml()}\n---\n\n# {markdown(name)}\n\n{part}"
    try:
        found = ModelCard(existing)
    except Exception as error:  # of YAML, or of a model-index that is none
        reason = str(error).splitlines()[0]
        raise UserError(
            f"the card's metadata cannot be read ({reason}); mend what stands between its --- lines"
        ) from None
    data = found.data
    assert isinstance(data, ModelCardData)
    before = data.eval_results or []
    data.eval_results = [*(one for one in before if (one.metric_args or {}).get("measured_by") != OURS), *own]
    data.model_name = data.model_name or name
    found.text = _with_part(found.text, part)
    return str(found)


def _with_part(text: str, part: str) -> str:
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        return f"{before}{part.rstrip()}{after}"
    return f"{text.rstrip()}\n\n{part}"


def section(verdict: Mapping[str, Any], results: Sequence[Result], *, base: str, level: float) -> str:
    """Return what the card says in words: the verdict, its evidence, and every tested task with the base beside it."""
    interval = f"{level:.0%} interval"
    head = ("tested on", "relation", "condition", "metric", "base", "this model", "difference", interval, "items")
    rows = [
        (
            *(result.tested_on, result.relation, result.condition, result.metric),
            *(plain(result.base_value), plain(result.value)),
            difference_words(result.difference, result.low, result.high),
            interval_words(result.low, result.high),
            f"{result.item_count:,}",
        )
        for result in results
    ]
    table = [f"| {' | '.join(map(markdown, row))} |" for row in (head, *rows)]
    table.insert(1, f"| {' | '.join('---' for _ in head)} |")
    light, sentence = verdict["light"], markdown(str(verdict["sentence"]), LONGEST_SENTENCE)
    lines = [
        BEGIN,
        "## What fine-tuning changed",
        "",
        f"Measured by spillover against the base, {markdown(base)}, on the same items with the same prompts.",
        "",
        f"{LIGHT_SYMBOLS.get(light, '')} **{markdown(str(light))}** {sentence}".strip(),
        "",
        *(f"* {markdown(str(line), LONGEST_SENTENCE)}" for line in verdict["evidence"]),
        *([""] if verdict["evidence"] else []),
        *table,
        END,
    ]
    return "\n".join(lines) + "\n"
