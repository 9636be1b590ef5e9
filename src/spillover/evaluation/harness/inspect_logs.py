"""Logs of Inspect as the results of a study, read without Inspect and joined by what the items say."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spillover.artifacts.archive import read_member, read_members
from spillover.artifacts.files import LARGEST_LOG_BYTES, read_whole
from spillover.errors import UserError, unknown_name
from spillover.evaluation.harness.joined import Origin, TaskRun, joined_results
from spillover.evaluation.harness.logged_tasks import Sample
from spillover.records import BASE, StudyResults

GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
"""Inspect's grades (correct, partly, incorrect, no answer) and words as numbers, as its own metrics read them."""
RIGHT_OR_WRONG = ("C", "P", "I", "N")
"""Of the grades those that are about being right."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""How Inspect names the options it shows."""
HEADER = "header.json"
"""Of a finished log; it has everything but the samples."""
ATTACHMENT = "attachment://"
"""Before the digest of a long text that a sample keeps beside its messages."""


@dataclass(frozen=True, slots=True)
class _Log:
    """One task of one model."""

    file: Path
    model: str
    task: str
    shots: int
    created: str
    status: str
    run: TaskRun


def read_logs(paths: Sequence[Path], *, base: str | None, trained_on: Sequence[str], command: str) -> StudyResults:
    """Return the results of two or more models in logs of Inspect, ``.eval`` or ``.json``.

    A model is known by its name, or its ``model_path`` where it was given one; of several logs of one task at one
    number of shots the newest counts. An item's scores over epochs are averaged, as Inspect does by default. An item
    that failed in one run is dropped from all and counted. Higher values are taken to be better. What joins items, and
    what is refused, is as for lm-eval's runs.

    Args:
        paths: Logs, and folders in which they are looked for.
        base: The base's name; None takes the model of the first log.
        trained_on: Tasks that the other models were trained on.
        command: What reproduces the report.

    Raises:
        UserError: A path without a log, logs of fewer than two models, or runs that do not measure the same items.
    """
    logs = [log for path in paths for log in _logs(path)]
    models = list(dict.fromkeys(log.model for log in logs))
    if len(models) < 2:
        raise UserError(f"the logs are of one model ({models[0]}); give logs of the base and of what was made of it")
    base = models[0] if base is None else base
    if base not in models:
        raise unknown_name("model in --base", base, models)
    runs: dict[str, dict[tuple[str, int], TaskRun]] = {BASE: {}}
    for log in sorted(logs, key=lambda log: log.created):
        runs.setdefault(BASE if log.model == base else log.model, {})[log.task, log.shots] = log.run
    remarks = tuple(
        f"{log.file}: the run of {log.task} with {log.model} ended with status {log.status!r}"
        for log in logs
        if log.status != "success"
    )
    return joined_results(
        {model: runs[model] for model in (BASE, *(name for name in models if name != base))},
        Origin("Inspect", base, aggregations={}, remarks=remarks),
        trained_on=trained_on,
        provenance={"command": command, "source": "logs of Inspect", "logs": [str(log.file) for log in logs]},
    )


def _logs(path: Path) -> list[_Log]:
    if not path.is_dir():
        return [_read(path, *_content(path))]
    files = sorted(file for pattern in ("*.eval", "*.json") for file in path.rglob(pattern))
    contents = [(file, *_content(file)) for file in files]
    found = [_read(*content) for content in contents if "eval" in content[1]]  # other files may lie beside logs
    if not found:
        raise UserError(f"{path}: no log of Inspect (.eval or .json) in the folder; give the folder of its logs")
    return found


def _content(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a log's header and its samples."""
    if file.suffix == ".eval":
        samples = [_object(f"{file}: {name}", data) for name, data in read_members(file, "samples/*.json")]
        return _object(f"{file}: {HEADER}", read_member(file, HEADER)), samples
    try:
        log = _object(str(file), read_whole(file, at_most=LARGEST_LOG_BYTES))
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); expected a log of Inspect") from None
    samples = log.get("samples") or []
    if not isinstance(samples, list) or not all(isinstance(sample, dict) for sample in samples):
        raise UserError(f"{file}: samples are not a list of objects; expected a log of Inspect")
    return log, samples


def _object(where: str, data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON ({error}); expected a log of Inspect") from None
    if not isinstance(value, dict):
        raise UserError(f"{where}: not a JSON object; expected a log of Inspect")
    return value


def _read(file: Path, header: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> _Log:
    spec = header.get("eval")
    if not isinstance(spec, dict) or not all(isinstance(spec.get(name), str) for name in ("task", "model")):
        raise UserError(f"{file}: no task and model under 'eval'; expected a log of Inspect")
    arguments, options = spec.get("model_args"), spec.get("task_args")
    path = arguments.get("model_path") if isinstance(arguments, dict) else None
    shots = options.get("fewshot") if isinstance(options, dict) else None
    facts = (str(spec.get("created", "")), str(header.get("status", "unknown")))
    shots = shots if isinstance(shots, int) else 0
    return _Log(file, str(path or spec["model"]), spec["task"], shots, *facts, _task_run(file, samples))


def _task_run(file: Path, rows: Sequence[Mapping[str, Any]]) -> TaskRun:
    """Join the epochs of each item; items of equal content are told apart by the order of their ids."""
    epochs: dict[tuple[str, str], list[Sample]] = {}
    left_out, graded, ungraded = set[str](), set[str](), set[str]()
    for row in rows:
        try:
            content = json.dumps([_said(row["input"], row), row.get("choices")], sort_keys=True)
            asked = json.dumps(_asked(row), sort_keys=True)
            identity, target, scores = str(row["id"]), json.dumps(row["target"]), row.get("scores")
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{file}: a sample is not as expected ({error}); expected a log of Inspect") from None
        if row.get("error") or not isinstance(scores, dict):
            continue
        read = _values(scores)
        left_out |= read.unread
        graded |= read.graded
        ungraded |= set(read.values) - read.graded
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        epochs.setdefault((digest, identity), []).append(
            Sample(target, asked, read.values, *_options(row), _answer(row, scores))
        )
    if not epochs:
        raise UserError(f"{file}: no scored sample; run the evaluation with a scorer, to its end")
    seen: Counter[str] = Counter()
    samples: dict[str, Sample] = {}
    for digest, identity in sorted(epochs):
        seen[digest] += 1
        samples[f"{digest}-{seen[digest]}"] = _averaged(epochs[digest, identity])
    return TaskRun(samples, {}, tuple(sorted(left_out)), frozenset(graded - ungraded))


def _averaged(epochs: Sequence[Sample]) -> Sample:
    """Average the scores; what is said of the answer is said of the first epoch's."""
    names = [name for name in epochs[0].values if all(name in epoch.values for epoch in epochs)]
    means = {name: (math.fsum(epoch.values[name][0] for epoch in epochs) / len(epochs), 1.0) for name in names}
    return replace(epochs[0], values=means)


def _options(row: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, int | None]:
    """Return the letters of the options that were shown, none of them for free text, and which of them is right."""
    choices = row.get("choices") or ()
    if not isinstance(choices, list | tuple) or not 1 != len(choices) <= len(LETTERS):
        return None, None
    letters, target = tuple(LETTERS[: len(choices)]), row["target"]
    target = target[0] if isinstance(target, list) and len(target) == 1 else target
    return letters, letters.index(target) if target in letters else None


def _answer(row: Mapping[str, Any], scores: Mapping[str, Any]) -> str | None:
    """Return what a scorer took for the answer, else everything the model wrote at last."""
    found = [score.get("answer") for score in scores.values() if isinstance(score, dict)]
    output = row.get("output")
    if isinstance(output, dict):
        found += [output.get("completion"), _content_of_first(output.get("choices"))]
    texts = [str(_said(text, row)) for text in found if isinstance(text, str)]
    return next(filter(None, texts), "") if texts else None  # a scorer that found none leaves its answer empty


def _content_of_first(choices: object) -> object:
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    return message.get("content") if isinstance(message, dict) else None


@dataclass(frozen=True, slots=True)
class _Values:
    """What the scorers of an item say; a scorer of several values counts once for each."""

    values: Mapping[str, tuple[float, ...]]
    """Scorer to (value, weight)."""
    graded: frozenset[str]
    """Those that say whether the answer is right, as a letter."""
    unread: frozenset[str]
    """Those that are no numbers."""


def _values(scores: Mapping[str, Any]) -> _Values:
    parts: dict[str, object] = {}
    for scorer, score in scores.items():
        value = score.get("value") if isinstance(score, dict) else None
        parts |= (
            {f"{scorer}/{name}": part for name, part in value.items()} if isinstance(value, dict) else {scorer: value}
        )
    numbers = {name: _number(part) for name, part in parts.items()}
    return _Values(
        {name: (number, 1.0) for name, number in numbers.items() if number is not None},
        frozenset(name for name, part in parts.items() if isinstance(part, str) and part in RIGHT_OR_WRONG),
        frozenset(name for name, number in numbers.items() if number is None),
    )


def _number(value: object) -> float | None:
    if isinstance(value, str):
        if value in GRADES or value.lower() in GRADES:
            return GRADES.get(value, GRADES.get(value.lower()))
        try:
            value = float(value)
        except ValueError:
            return None
    try:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:  # a whole number of more than 308 digits
        return None


def _asked(row: Mapping[str, Any]) -> object:
    """Return everything a model was told before it answered for the first time."""
    messages = row.get("messages") or row["input"]
    if isinstance(messages, str):
        return messages
    answers = [index for index, message in enumerate(messages) if message.get("role") == "assistant"]
    generated = [index for index in answers if messages[index].get("source") == "generate"]
    end = generated[0] if generated else answers[-1] if answers else len(messages)
    return _said(messages[:end], row)


def _said(messages: Any, row: Mapping[str, Any]) -> object:
    """Return role and content of messages: their ids differ from run to run."""
    attachments = row.get("attachments") or {}

    def text(content: Any) -> Any:
        if isinstance(content, str) and content.startswith(ATTACHMENT):
            return attachments.get(content.removeprefix(ATTACHMENT), content)
        if isinstance(content, list):
            return [{name: text(part[name]) for name in part if name not in ("id", "internal")} for part in content]
        return content

    if isinstance(messages, str):
        return text(messages)
    return [[message["role"], text(message["content"])] for message in messages]
