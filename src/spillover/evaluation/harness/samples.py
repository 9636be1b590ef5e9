"""Logged samples of lm-eval runs as the results of a study, joined by what the items say."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spillover.errors import UserError, unknown_name
from spillover.evaluation.harness.aggregations import COMBINE, USUAL, item_statistics
from spillover.records import (
    BASE,
    Cell,
    CellScores,
    MetricCard,
    Relation,
    StudyResults,
    TaskCard,
    VariantCard,
)

UNKNOWN = "unknown"
"""What a variant was trained on when nobody said so."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """One item of one run."""

    target: str
    prompt: str
    values: Mapping[str, tuple[float, ...]]
    """Metric to its statistics of this item."""


@dataclass(frozen=True, slots=True)
class _TaskRun:
    """One task of one run."""

    shots: int
    samples: Mapping[str, _Sample]
    """By item id: a digest of the item's content, and its rank among items of the same content."""
    higher_is_better: Mapping[str, bool]
    left_out: tuple[str, ...]
    """Metrics whose logged values cannot be summed over items."""


def read_runs(folders: Sequence[Path], *, base: Path, trained_on: Sequence[str], command: str) -> StudyResults:
    """Return the results of two or more runs of lm-eval with ``--log_samples --output_path FOLDER``.

    Items are joined by the content of their document, never by index; items that not every run has are dropped and
    counted, items that were asked with another prompt or another target are refused. A task that not every run has is
    left out and named. What the tasks have to do with the training is the user's to say: tasks in ``trained_on`` are
    in-domain for every variant, all others cross-task.

    Args:
        folders: One per run; the folder's name becomes the variant's.
        base: Which of them is the base.
        trained_on: Tasks that the variants were trained on.
        command: What reproduces the report.

    Raises:
        UserError: Fewer than two runs, a folder without samples, or runs that do not measure the same items.
    """
    if len(folders) < 2 or len(set(folders)) < len(folders):
        raise UserError(f"{len(set(folders))} lm-eval run was given; give two or more different folders, base first")
    if base not in folders:
        raise UserError(f"--base {base}: not one of the given folders ({', '.join(map(str, folders))})")
    names = _names([folder for folder in folders if folder != base])
    runs = {BASE if folder == base else names[folder]: _read(folder) for folder in folders}
    shared = [task for task in runs[BASE] if all(task in run for run in runs.values())]
    if not shared:
        raise UserError(f"the runs have no task in common; {base} has: {', '.join(runs[BASE])}")
    for task in trained_on:
        if task not in shared:
            raise unknown_name("task in --trained-on", task, shared)
    cards, scores = [], []
    for task in shared:
        card, of_task = _joined(task, {variant: run[task] for variant, run in runs.items()})
        cards.append(card)
        scores.extend(of_task)
    everything = sorted({task for run in runs.values() for task in run})
    left_out = {f"{task}: metric {name}" for task in shared for run in runs.values() for name in run[task].left_out}
    in_domain = {task: Relation.IN_DOMAIN if task in trained_on else Relation.CROSS_TASK for task in shared}
    return StudyResults(
        name="lm-eval runs",
        base={"name": str(base), "fingerprint": UNKNOWN, "parameter_count": 0, "kind": "unstated", "licence": UNKNOWN},
        variants=tuple(
            VariantCard(name, name, ", ".join(trained_on) or UNKNOWN, 0, 0, {}) for name in runs if name != BASE
        ),
        tasks=tuple(cards),
        relations={(name, task): in_domain[task] for name in runs if name != BASE for task in shared},
        metrics=_metrics(runs, scores),
        scores=tuple(scores),
        prompts=(),
        skipped=(
            *(f"task {task}: not in every run" for task in everything if task not in shared),
            *(f"{entry}: its logged values cannot be summed over items" for entry in sorted(left_out)),
        ),
        provenance={"command": command, "source": "lm-eval --log_samples", "folders": [str(path) for path in folders]},
    )


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    names = {folder: folder.resolve().name for folder in folders}
    twice = [name for name, count in Counter(names.values()).items() if count > 1 or name == BASE]
    return {folder: str(folder) if name in twice else name for folder, name in names.items()}


def _read(folder: Path) -> dict[str, _TaskRun]:
    """Read the newest samples of every task of a run."""
    files = sorted(folder.rglob("samples_*.jsonl"), key=lambda path: path.stem.rpartition("_")[2])
    if not files:
        raise UserError(
            f"{folder}: no samples_*.jsonl; run lm-eval with --log_samples --output_path and give that folder"
        )
    newest = {}
    for file in files:
        task, _, date = file.stem.removeprefix("samples_").rpartition("_")
        newest[task] = (file, file.with_name(f"results_{date}.json"))
    return {task: _read_task(task, *pair) for task, pair in newest.items()}


def _read_task(task: str, file: Path, results_file: Path) -> _TaskRun:
    if not results_file.is_file():
        raise UserError(f"{file}: {results_file.name} is missing beside it; keep the whole output folder of lm-eval")
    results = _json(results_file, results_file.read_text(encoding="utf-8"))
    seen: Counter[str] = Counter()
    merged: dict[str, _Sample] = {}
    left_out: set[str] = set()
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        row = _json(f"{file}, line {number}", line)
        try:
            content = json.dumps(row["doc"], sort_keys=True, ensure_ascii=False)
            question = json.dumps(row["arguments"], sort_keys=True, ensure_ascii=False)
            sample_filter, target, metrics = row["filter"], str(row["target"]), row["metrics"]
        except (KeyError, TypeError) as error:
            raise UserError(
                f"{file}, line {number}: no {error} in the sample; expected a log of lm-eval 0.4.9 or newer"
            ) from None
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        # A filter reads the same answers again, so ranks of equal items count within it.
        seen[f"{sample_filter}/{digest}"] += 1
        item = f"{digest}-{seen[f'{sample_filter}/{digest}']}"
        values = dict(merged[item].values) if item in merged else {}
        for metric in metrics:
            name = metric if sample_filter == "none" else f"{metric} ({sample_filter})"
            statistics = item_statistics(row[metric], USUAL.get(metric, "mean"))
            if statistics is None:
                left_out.add(name)
            else:
                values[name] = statistics
        merged[item] = _Sample(target, question, values)
    if not merged:
        raise UserError(f"{file}: no samples; run lm-eval again with --log_samples")
    try:
        shots = int(results["n-shot"][task])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{results_file}: no n-shot of {task}; expected the results file of the same run") from None
    return _TaskRun(shots, merged, results.get("higher_is_better", {}).get(task, {}), tuple(sorted(left_out)))


def _json(where: Path | str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error}); run lm-eval again") from None
    if not isinstance(value, dict):
        raise UserError(f"{where}: not a JSON object; run lm-eval again")
    return value


def _joined(task: str, runs: Mapping[str, _TaskRun]) -> tuple[TaskCard, list[CellScores]]:
    shots = {run.shots for run in runs.values()}
    if len(shots) > 1:
        raise UserError(f"task {task}: run at {sorted(shots)} shots; give runs with the same --num_fewshot")
    base = runs[BASE]
    items = [item for item in base.samples if all(item in run.samples for run in runs.values())]
    if not items:
        raise UserError(f"task {task}: the runs have no item in common; run them on the same data (and --limit)")
    for variant, run in runs.items():
        for item in items:
            ours, theirs = base.samples[item], run.samples[item]
            if (ours.target, ours.prompt) != (theirs.target, theirs.prompt):
                what = "target" if ours.target != theirs.target else "prompt"
                raise UserError(
                    f"task {task}: {variant} was asked item {item} with another {what} than the base "
                    f"({ours.prompt[:60]!r}); run both with the same task version, shots and chat template"
                )
    everything = {item for run in runs.values() for item in run.samples}
    names = [
        name
        for name in base.samples[items[0]].values
        if all(name in run.samples[item].values for run in runs.values() for item in items)
    ]
    if not names:
        raise UserError(f"task {task}: no metric with a number for every item; the report has nothing to compare")
    cell = Cell(task, 1, shots.pop(), 0)
    scores = [
        CellScores(variant, cell, name, tuple(items), np.array([run.samples[item].values[name] for item in items]))
        for variant, run in runs.items()
        for name in names
    ]
    dropped = {"not in every run": len(everything) - len(items)} if len(everything) > len(items) else {}
    return TaskCard(task, "lm-eval", task, (), names[0], len(items), None, dropped), scores


def _metrics(runs: Mapping[str, Mapping[str, _TaskRun]], scores: Sequence[CellScores]) -> dict[str, MetricCard]:
    better = {name: up for run in runs.values() for task in run.values() for name, up in task.higher_is_better.items()}
    cards = {}
    for name in dict.fromkeys(score.metric for score in scores):
        plain = name.partition(" (")[0]
        combine = COMBINE[USUAL.get(plain, "mean")]
        values = np.array([combine(score.statistics.sum(axis=0)) for score in scores if score.metric == name])
        is_share = plain not in USUAL and ((values >= 0) & (values <= 1)).all()
        cards[name] = MetricCard(
            name, combine, "share" if is_share else "points", bool(better.get(plain, plain not in USUAL))
        )
    return cards
