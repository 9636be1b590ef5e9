"""Small made rows, a tiny model and an adapter under the names that the documentation uses, so that its blocks run."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any

import yaml

from spillover.prompts.template import Template
from spillover.tasks.suite import builtin_suites, load_suite
from tests.study.made_study import WORDS, make_model

COUNT = 90
BASE = "smollm2-135m-instruct"
LABELS = ("positive", "negative")
ROWS = ("sizes", "specialist_rows", "general_rows")
"""Settings of a design of mixtures that are counts of rows."""


def make_folder(folder: Path) -> None:
    """Write what a reader of the documentation has: a base, rows, demonstrations and something fine-tuned elsewhere."""
    make_model(folder / "base")
    rows = [_own_row(number) for number in range(COUNT)]
    (folder / "reviews.csv").write_text(
        "text,label,stars,customer\n"
        + "".join(f"{row['text']},{row['label']},{row['stars']},{row['customer']}\n" for row in rows)
    )
    tweets = [{"tweet": f"tweet {row['text']}", "text": f"tweet {row['text']}", "label": row["label"]} for row in rows]
    _write(folder / "tweets.jsonl", tweets)
    (folder / "runs").mkdir()
    _make_adapter(folder / "base", folder / "runs" / "support-bot")
    make_model(folder / "runs" / "whole", seed=1)
    _write_predictions(folder / "ours.csv")


def _write_predictions(file: Path) -> None:
    """Write what a classifier says of the made rows of a built-in task."""
    task = load_suite("pocket").tasks["amazon"]
    fields = Template(str(getattr(task.prompts[1], "text", task.prompts[1]))).fields
    rows = [_row(task.name, number, fields, task.answers) for number in range(COUNT)]
    shares = ["0.8", *[str(round(0.2 / (len(task.answers) - 1), 3))] * (len(task.answers) - 1)]
    lines = [",".join(("text", "label", *task.answers))]
    lines += [",".join((" ".join(row[field] for field in fields), task.answers[0], *shares)) for row in rows]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def shrunk(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a study or a suite of the documentation for the tiny base and few rows, every other setting kept."""
    if "tasks" in data or "families" in data:
        return with_included(data, folder)
    made = {**data, "base": "./base", "training": {**data.get("training", {}), "epochs": 1, "batch_size": 4}}
    made["test_limit"], made["seeds"] = 10, [0]
    if "mix" in data:
        made["mix"] = {name: _few(value) if name in ROWS else value for name, value in data["mix"].items()}
    suite = data.get("suite", "pocket")
    if suite in builtin_suites():
        made["suite"] = f"./{stand_in(suite, folder).name}"
    for entry in made.get("variants", ()):
        if "sizes" in entry:
            entry["sizes"] = _few(entry["sizes"])
    return made


def _few(counts: int | list[int]) -> list[int]:
    """Return the two smallest counts of rows, each as small as can be beside the other."""
    counts = counts if isinstance(counts, list) else [counts]
    return sorted({min(count, 8 * (1 + place)) for place, count in enumerate(sorted(counts)[:2])})


def with_included(suite: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a suite that has the stand-ins of the built-in suites which it includes as tasks of its own."""
    made = {name: value for name, value in suite.items() if name != "include"}
    for name in suite.get("include", ()):
        other = yaml.safe_load(stand_in(name, folder).read_text(encoding="utf-8"))
        for part in ("families", "tasks"):
            made[part] = {**other[part], **made.get(part, {})}
    for task in made["tasks"].values():
        task |= {"split": {"demonstrations": 8, "test": 20}} if "split" in task else {}
    return made


def stand_in(name: str, folder: Path) -> Path:
    """Write a suite with the tasks and prompts of a built-in one and made rows, and return its file."""
    file = folder / f"{name}-stand-in.yaml"
    if file.exists():
        return file
    made: dict[str, Any] = {"families": {}, "tasks": {}}
    for task in load_suite(name).tasks.values():
        if task.options is not None:
            continue
        first = task.prompts[1].text  # others of a release are files, which only the release has
        prompts = {form: prompt.text or f"In other words:\n{first}" for form, prompt in task.prompts.items()}
        made["families"][task.family] = {}
        fields = tuple(dict.fromkeys(field for text in prompts.values() for field in Template(text).fields))
        rows = [_row(task.name, number, fields, task.answers) for number in range(COUNT)]
        _write(folder / f"{name}-{task.name}.jsonl", rows)
        made["tasks"][task.name] = {
            "family": task.family,
            "prompts": prompts,
            **({"answers": list(task.answers)} if task.answers else {"generation": {"max_new_tokens": 4}}),
            "shots": [0, 2],
            "sources": {"pool": f"{name}-{task.name}.jsonl"},
            "columns": {field: field for field in fields},
            "target": "the target",
            "split": {"demonstrations": 8, "test": 20},
        }
    file.write_text(yaml.safe_dump(made, sort_keys=False), encoding="utf-8")
    return file


def _row(task: str, number: int, fields: tuple[str, ...], answers: tuple[str, ...]) -> dict[str, str]:
    draw = random.Random(f"{task} {number}")
    words = [" ".join(draw.choice(WORDS) for _ in range(5)) for _ in fields]
    target = answers[number % len(answers)] if answers else f"what {words[0].split()[0]}"
    made = {field: f"{text} {task} {number}" for field, text in zip(fields, words, strict=True)}
    return {**made, "the target": target}


def _own_row(number: int) -> dict[str, Any]:
    draw = random.Random(number)
    text = " ".join(draw.choice(WORDS) for _ in range(6))
    return {"text": f"{text} {number}", "label": LABELS[number % 2], "stars": 5 - 4 * (number % 2), "customer": number}


def _make_adapter(base: Path, folder: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    from spillover.models.load import load_model

    torch.manual_seed(0)
    model = load_model(base, dtype="float32", device="cpu")
    settings = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # peft's, of transformers
        get_peft_model(model, settings).save_pretrained(folder)


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
