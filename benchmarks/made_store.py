"""Makes the finished store of a study that was never run: made rows, made answers, the real metrics over them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spillover.config import load_study
from spillover.evaluation.metrics import statistics
from spillover.records import Example, Prediction, PromptCard
from spillover.steps.finetune import Finetune
from spillover.steps.predict import Predict
from spillover.steps.prepare import Prepare
from spillover.steps.score import Score
from spillover.steps.step import Step
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.store import Store
from spillover.tasks.prepare import prepare

LABELS = {"mood": ("positive", "negative"), "logic": ("entailment", "contradiction", "neutral"), "question": ()}
TASKS = (
    *("mood-shop", "mood-film", "mood-news", "mood-phone"),
    *("logic-news", "logic-story", "logic-exam"),
    *("question-story", "question-exam", "question-news"),
)
VARIANTS = 9
SHOTS = (0, 1, 2, 4, 8)
SENTENCE = "the old ship left a quiet harbour before dawn because nobody had asked its captain to wait for rain"
WORDS = SENTENCE.split()
INPUT_WORDS = 60

SUITE = """
families:
  mood:
    prompts: {1: "### Input:\\n{text}\\n### Mood:"}
    answers: [positive, negative]
    metrics: [accuracy, macro_f1, mcc, ece, brier]
  logic:
    prompts: {1: "### Input:\\n{text}\\n### Relation:"}
    answers: [entailment, contradiction, neutral]
    metrics: [accuracy, macro_f1, mcc, ece, brier]
  question:
    prompts: {1: "### Input:\\n{text}\\n### Question:"}
    metrics: [rouge_l, bleu, label_share]
tasks:
"""


def make_store(
    folder: Path,
    *,
    item_count: int,
    variant_count: int = VARIANTS,
    tasks: Sequence[str] = TASKS,
    shots: Sequence[int] = SHOTS,
) -> tuple[Path, Store]:
    """Write a study of 500 cells, its suite, its model's files and its finished steps; return the study's file."""
    _write_model(folder / "model")
    suite = SUITE
    for name in tasks:
        _write_rows(folder, name, item_count)
        suite += (
            f"  {name}:\n    family: {name.split('-')[0]}\n    sources: {{pool: {name}.jsonl}}\n"
            f"    columns: {{text: text}}\n    target: answer\n"
            f"    split: {{demonstrations: 8, test: {item_count}}}\n"
        )
    (folder / "made.yaml").write_text(suite, encoding="utf-8")
    variants = "".join(
        f"  - {{name: v{index}, train_on: [{tasks[index % len(tasks)]}], sizes: [16]}}\n"
        for index in range(variant_count)
    )
    path = folder / "study.yaml"
    path.write_text(
        f"base: ./model\nsuite: ./made.yaml\nvariants:\n{variants}test_on: [{', '.join(tasks)}]\n"
        f"shots: {list(shots)}\ntest_limit: {item_count}\nprecision: float32\n",
        encoding="utf-8",
    )
    study, store = load_study(path, cache=folder / "cache", notice=print), Store(folder / "store")
    for step in study.steps:
        _finish(store, step)
    return path, store


def _finish(store: Store, step: Step) -> None:
    fill: Callable[[Path], None]
    if isinstance(step, Prepare):
        rows = prepare(step.suite, step.task, cache=step.cache)
        fill = lambda target: files.write_prepared(target / files.ROWS, rows)  # noqa: E731
    elif isinstance(step, Predict):
        fill = lambda target: _predict(store, step, target)  # noqa: E731
    elif isinstance(step, Score):
        fill = lambda target: _score(store, step, target)  # noqa: E731
    elif isinstance(step, Finetune):
        losses = [2 / (1 + index / 20) for index in range(200)]
        log = {"step_count": 200, "losses": losses, "rows": 16, "dropped": {}, "recipe_report": {}}
        log["fingerprint"] = step.key
        fill = lambda target: files.write_json(target / "training.json", log)  # noqa: E731
    else:
        fill = lambda target: files.write_json(target / "drift.json", _moved())  # noqa: E731

    def write(target: Path) -> Mapping[str, Any]:
        fill(target)
        return {"duration_seconds": 1.0, "cpu_seconds": 1.0}

    store.write(step, write)


def _predict(store: Store, step: Predict, folder: Path) -> None:
    task, workshop = step.data.task, Workshop(store)
    examples = step.data.tested_rows(workshop, step.protocol)[0][: step.test_limit]
    prompts = step.form(workshop).prompts
    draw = np.random.default_rng(int(step.key[:8], 16))
    predictions = [_prediction(task.answers, example, draw) for example in examples]
    files.write_predictions(folder / files.PREDICTIONS, predictions)
    ids = [tuple(sum(map(ord, word)) % 49_152 for word in prompt.split(" ")) for prompt in prompts]
    if step.variant is None:
        files.write_prompt_ids(folder / files.PROMPT_IDS, ids)
    card = PromptCard(step.cell, examples[0].id, prompts[0], ids[0], 4, examples[0].target, {})
    files.write_prompt(folder / "prompt.json", card)
    files.write_json(folder / "facts.json", {"dropped": {}, "item_count": len(predictions)})


def _prediction(answers: Sequence[str], example: Example, draw: np.random.Generator) -> Prediction:
    if not answers:
        words = example.target.split()
        kept = [word for word in words if draw.random() < 0.6]
        answer = " ".join([*kept, *(WORDS[index] for index in draw.integers(0, len(WORDS), 6))])
        return Prediction(example.id, example.target, answer, token_ids=tuple(range(100, 120)))
    scores = draw.normal(-2, 1, len(answers)) + [0.8 * (answer == example.target) for answer in answers]
    nats = tuple(map(float, scores))
    prior = tuple(float(value) for value in draw.normal(-1, 0.2, len(answers)))
    return Prediction(
        example.id, example.target, answers[int(scores.argmax())], nats, content_free=prior, premise=prior
    )


def _score(store: Store, step: Score, folder: Path) -> None:
    source = step.predictions
    predictions = files.read_predictions(store.file(source, files.PREDICTIONS))
    values = {metric: statistics(metric, predictions, step.rule) for metric in step.metrics}
    files.write_statistics(folder / "statistics.json", [row.example_id for row in predictions], values)


def _moved() -> dict[str, object]:
    """Return the drift of a model of 30 layers, as `measure_drift` does."""
    types = ("attention q", "attention k", "attention v", "attention o", "mlp gate", "mlp up", "mlp down", "norm")
    layers = [str(index) for index in range(30)]
    numbers = {"element_count": 4096, "mean_absolute_difference": 4e-4, "relative_norm": 0.011, "cosine": 0.9999}
    numbers |= {"moved_share": 0.8, "effective_rank": 212.5, "new_direction_share": 0.93}
    return {
        **numbers,
        "layers": {layer: 0.01 + index / 5000 for index, layer in enumerate(layers)},
        "module_types": dict.fromkeys(types, numbers),
        "modules": [{"layer": layer, "module": module, **numbers} for layer in layers for module in types],
        "spectrum": {"directions": 16, "layers": layers},
        "moved_tokens": [{"token_id": index, "token": f" {WORDS[index]}", "relative_norm": 0.1} for index in range(19)],
        "probe": {"row_count": 16, "token_count": 733, "kl_to_base": 0.1, "similarity": [0.99] * 31},
    }


def _write_model(folder: Path) -> None:
    """Write a tokenizer of single characters, and what identifies a model; nothing here ever loads its weights."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder.mkdir(parents=True)
    pieces = ["<end>", "<unk>", "\n", *map(chr, range(32, 127))]
    tokenizer = Tokenizer(models.WordLevel({piece: index for index, piece in enumerate(pieces)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
    tokenizer.add_special_tokens(["<end>", "<unk>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<end>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(special))
    config = {"model_type": "llama", "max_position_embeddings": 8192, "vocab_size": len(pieces)}
    (folder / "config.json").write_text(json.dumps(config))
    save_file({"weight": np.zeros((4, 4), dtype=np.float32)}, folder / "model.safetensors")


def _write_rows(folder: Path, name: str, item_count: int) -> None:
    draw, labels = random.Random(name), LABELS[name.split("-")[0]]
    lines = []
    for index in range(item_count + 80):
        text = f"{index} {name}: {' '.join(draw.choices(WORDS, k=INPUT_WORDS))}"
        answer = draw.choice(labels) if labels else f"what did {' '.join(draw.choices(WORDS, k=8))}?"
        lines.append(json.dumps({"text": text, "answer": answer}))
    (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
