"""Logged samples of lm-eval runs as the results of a study, joined by what the items say."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spillover.artifacts.files import LARGEST_LOG_BYTES, read_whole
from spillover.errors import UserError
from spillover.evaluation.harness.aggregations import RIGHT, USUAL, item_statistics, plain_name
from spillover.evaluation.harness.joined import Origin, TaskRun, joined_results
from spillover.evaluation.harness.logged_answers import logged_answer, with_right_options, without_settings
from spillover.evaluation.harness.logged_tasks import Sample
from spillover.records import BASE, StudyResults


def read_runs(folders: Sequence[Path], *, base: Path, trained_on: Sequence[str], command: str) -> StudyResults:
    """Return the results of two or more runs of lm-eval with ``--log_samples --output_path FOLDER``.

    Items are joined by the content of their document, never by index; items that not every run has are dropped and
    counted, items that were asked with another prompt or another target are refused. A task that not every run has is
    left out and named. What the tasks have to do with the training is the user's to say: tasks in ``trained_on`` are
    in-domain for every variant, all others cross-task; without any, nothing is guessed.

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
    return joined_results(
        runs,
        Origin("lm-eval", base_name=str(base), aggregations=USUAL),
        trained_on=trained_on,
        provenance={"command": command, "source": "lm-eval --log_samples", "folders": [str(path) for path in folders]},
    )


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    names = {folder: folder.resolve().name for folder in folders}
    twice = [name for name, count in Counter(names.values()).items() if count > 1 or name == BASE]
    return {folder: str(folder) if name in twice else name for folder, name in names.items()}


def _read(folder: Path) -> dict[tuple[str, int], TaskRun]:
    """Read the newest samples of every task of a run at every number of shots."""
    files = sorted(folder.rglob("samples_*.jsonl"), key=lambda path: path.stem.rpartition("_")[2])
    if not files:
        raise UserError(
            f"{folder}: no samples_*.jsonl; run lm-eval with --log_samples --output_path and give that folder"
        )
    newest = {}
    for file in files:
        task, _, date = file.stem.removeprefix("samples_").rpartition("_")
        shots, better = _protocol(task, _results_file(file, date))
        newest[task, shots] = (file, better)
    return {key: _read_task(*found) for key, found in newest.items()}


def _results_file(samples: Path, date: str) -> Path:
    """Return the results of the run that wrote the samples: ``x_DATE.json`` after ``--output_path x.json``."""
    named = samples.with_name(f"results_{date}.json")
    if named.is_file():
        return named
    others = sorted(path for path in samples.parent.iterdir() if path.name.endswith(f"_{date}.json"))
    if len(others) != 1:
        raise UserError(f"{samples}: {named.name} is missing beside it; keep the whole output folder of lm-eval")
    return others[0]


def _protocol(task: str, results_file: Path) -> tuple[int, dict[str, bool]]:
    """Return the number of shots of a task, and of which metrics more is better."""
    results = _json(results_file, _text(results_file))
    try:
        return int(results["n-shot"][task]), dict(results.get("higher_is_better", {}).get(task, {}))
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        raise UserError(
            f"{results_file}: no n-shot of {task}, or no mapping higher_is_better; expected the file of the same run"
        ) from None


def _read_task(file: Path, better: dict[str, bool]) -> TaskRun:
    seen: Counter[str] = Counter()
    merged: dict[str, Sample] = {}
    left_out: set[str] = set()
    # Not splitlines(): JSON strings may hold U+2028 and other characters that it takes for line ends.
    for number, line in enumerate(_text(file).removesuffix("\n").split("\n"), start=1):
        if not line.strip():
            continue
        row = _json(f"{file}, line {number}", line)
        try:
            content = json.dumps(row["doc"], sort_keys=True, ensure_ascii=False)
            options, right, answer = logged_answer(row)
            asked, settings = without_settings(row["arguments"], is_text=options == () and answer is not None)
            question = json.dumps(asked, sort_keys=True, ensure_ascii=False)
            sample_filter, target, metrics = row["filter"], str(row["target"]), [str(name) for name in row["metrics"]]
            logged = {name: item_statistics(row[name], USUAL.get(name, "mean")) for name in metrics}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(
                f"{file}, line {number}: no {error} in the sample; expected a log of lm-eval 0.4.9 or newer"
            ) from None
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        # A filter reads the same answers again, so ranks of equal items count within it.
        seen[f"{sample_filter}/{digest}"] += 1
        item = f"{digest}-{seen[f'{sample_filter}/{digest}']}"
        first = merged.get(item) or Sample(target, question, {}, options, right, answer, settings)
        values = dict(first.values)
        for metric, statistics in logged.items():
            name = metric if sample_filter == "none" else f"{metric} ({sample_filter})"
            if statistics is None or not np.isfinite(statistics).all():
                left_out.add(name)
            else:
                values[name] = statistics
        merged[item] = replace(first, target=target, prompt=question, values=values)
    if not merged:
        raise UserError(f"{file}: no samples; run lm-eval again with --log_samples")
    right = {name for sample in merged.values() for name in sample.values if plain_name(name) in RIGHT}
    return TaskRun(with_right_options(merged), better, tuple(sorted(left_out)), frozenset(right))


def _text(file: Path) -> str:
    try:
        return read_whole(file, at_most=LARGEST_LOG_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({error}); run lm-eval again") from None


def _json(where: Path | str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON ({error}); run lm-eval again") from None
    if not isinstance(value, dict):
        raise UserError(f"{where}: not a JSON object; run lm-eval again")
    return value
