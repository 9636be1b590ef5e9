"""The golden steps: every kind of step, and every variation of a training, as the studies of this folder make them."""

import importlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from spillover.config import load_study
from spillover.evaluation.harness.asked import harness_cell
from spillover.evaluation.harness.tasks import HarnessTask
from spillover.steps.harness import AskHarness, ScoreHarness
from spillover.steps.step import Step
from spillover.study.halving import RUNGS, _contests, _rung, _validated
from spillover.study.study import Study
from tests.study.golden.made_lm_eval import Moods

STUDIES = Path(__file__).parent / "studies"
LM_EVAL = "0.4.13"
"""The version of lm-eval that keys hold; what is installed, if anything, is not looked at."""


def golden_steps(folder: Path) -> dict[str, Step]:
    """Return the steps by label, inputs first; ``folder`` takes copies of the studies and tiny models beside them."""
    shutil.copytree(STUDIES, folder, dirs_exist_ok=True)
    _write_models(folder)
    paths = sorted(path for path in folder.glob("*.yaml") if path.name != "suite.yaml")
    studies = {path.stem: load_study(path, cache=folder / "cache", notice=lambda _: None) for path in paths}
    with _made_lm_eval(folder / "packages"):
        found: dict[str, Step] = {}
        for name, study in studies.items():
            _add(found, name, _leaves(study))
        for name, steps in {**_halved(studies["designs"]), "lm-eval": _harness(studies["asked-of-all"])}.items():
            _add(found, name, steps)
        for model in studies["asked-of-classifiers"].classifiers:
            _add(found, "asked-of-classifiers", model.fair_inputs().values())
        for step in found.values():  # computes and keeps the keys that hold the version of lm-eval
            assert step.key
    return found


def _leaves(study: Study) -> Iterable[Step]:
    """Return the trainings alone of a study that varies these; of one that varies what is asked, everything."""
    trainings = (*study.finetunes, *study.models, *study.validations)
    return study.steps if study.name.startswith("asked") else trainings


def _halved(study: Study) -> dict[str, list[Step]]:
    """Return what a budget validates of the arms trained on a part of their rows, and of those it leaves."""
    contests = _contests(study.variants)
    rungs = {f"designs, one in {part}": [_rung(study, contest, part)[0] for contest in contests] for part in RUNGS}
    kept = [plan for plan in study.variants if plan.name in ("cocktail.with-first", "cocktail.with-second")]
    gone = tuple(plan for plan in study.variants if plan.name == "cocktail.all")
    chosen = _validated(
        replace(study, variants=tuple(replace(plan, part=replace(plan.part, validation_row_count=0)) for plan in kept))
    )
    chosen = replace(chosen, left_out=gone)
    return {**rungs, "designs, within a budget": [*chosen.validations]}


def _harness(study: Study) -> list[Step]:
    """Return a task of lm-eval asked of the base and of a variant of each kind."""
    task = HarnessTask("lm-eval/moods", "mood", Moods())
    assert task.fixed_shots is None
    cells = [
        harness_cell(task, shots=shots, demonstration_seed=seed, limit=limit)
        for shots, seed, limit in ((0, 0, 4), (0, 0, 2), (2, 0, 4), (2, 1, 4))
    ]
    variants = {type(variant): variant for variant in study.models}
    asked = [AskHarness(study.base, None, cell, study.precision) for cell in cells]
    asked += [AskHarness(study.base, variant, cells[0], study.precision) for variant in variants.values()]
    asked.append(AskHarness(study.base, None, cells[0], "bfloat16"))
    return [ScoreHarness(step) for step in asked]


def _add(found: dict[str, Step], name: str, steps: Iterable[Step]) -> None:
    for step in steps:
        for needed in _with_needed(step):
            label = f"{name}: {label_of(needed)}"
            if label in found and found[label].key != needed.key:
                raise ValueError(f"two steps are called {label!r}: {found[label].fields()} and {needed.fields()}")
            found.setdefault(label, needed)


def _with_needed(step: Step) -> Iterator[Step]:
    for needed in step.inputs().values():
        yield from _with_needed(needed)
    yield step


def label_of(step: Step) -> str:
    """Return what names a step within its study: its own words, with the rest of the cell where it asks or scores."""
    asked = getattr(step, "predictions", step)
    cell = getattr(asked, "cell", None)
    if cell is None:
        return step.label
    shots = "" if " shots" in step.label else f", {cell.shots} shots"
    words = f"{step.label}{shots}, form {cell.prompt_form}, demonstrations {cell.demonstration_seed}"
    return words + (f", {len(asked.asked.items)} items, {asked.precision}" if hasattr(asked, "asked") else "")


def _write_models(folder: Path) -> None:
    """Write a base, two whole models and an adapter of made numbers: their fingerprints are part of keys."""
    shapes = {"model.embed_tokens": (12, 4), "model.norm": (4,)}
    for layer in range(2):
        shapes |= {f"model.layers.{layer}.self_attn.{name}_proj": (4, 4) for name in "qkvo"}
        shapes |= {f"model.layers.{layer}.mlp.down_proj": (4, 6)}
    for number, name in enumerate(("base", "whole", "own-tokenizer")):
        (folder / name).mkdir()
        config = {"model_type": "llama", "max_position_embeddings": 512, "vocab_size": 12, "hidden_size": 4}
        _write_json(folder / name / "config.json", config)
        _write_json(folder / name / "tokenizer.json", {"made": name == "own-tokenizer"})
        tensors = {f"{key}.weight": _numbers(shape, number) for key, shape in shapes.items()}
        save_file(tensors, folder / name / "model.safetensors")
    (folder / "encoder").mkdir()
    _write_json(folder / "encoder" / "config.json", {"model_type": "bert", "max_position_embeddings": 64})
    _write_json(folder / "encoder" / "tokenizer.json", {"made": "encoder"})
    save_file({"pooler.dense.weight": _numbers((4, 4), 3)}, folder / "encoder" / "model.safetensors")
    (folder / "adapter").mkdir()
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "init_lora_weights": True}
    _write_json(folder / "adapter" / "adapter_config.json", settings)
    factors = {"A": (2, 4), "B": (4, 2)}
    tensors = {f"base.layers.0.q_proj.lora_{name}.weight": _numbers(shape, 7) for name, shape in factors.items()}
    save_file(tensors, folder / "adapter" / "adapter_model.safetensors")


def _numbers(shape: tuple[int, ...], start: int) -> np.ndarray:
    return (np.arange(int(np.prod(shape)), dtype=np.float32) + start).reshape(shape)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


@contextmanager
def _made_lm_eval(folder: Path) -> Iterator[None]:
    """Let lm-eval seem installed in one version, so that keys which hold it can be made anywhere."""
    described = folder / f"lm_eval-{LM_EVAL}.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: lm-eval\nVersion: {LM_EVAL}\n")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
