"""A made-up but realistic StudyResults: a base and three variants on five tasks at two shot counts."""

import math
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from spillover.records import (
    BASE,
    RIGHT_ANSWERS,
    AskedItem,
    Cell,
    CellChanges,
    CellScores,
    FlipFloor,
    FloatArray,
    ItemAnswer,
    ItemChange,
    MetricCard,
    PromptCard,
    Relation,
    StudyResults,
    TaskCard,
    VariantCard,
)

SHOTS = (0, 2)
FAMILIES = {
    "siqa": "question",
    "narrativeqa": "question",
    "amazon": "sentiment",
    "nyt": "sentiment",
    "snli": "inference",
}
ANSWERS = {
    "question": (),
    "sentiment": ("positive", "negative"),
    "inference": ("entailment", "contradiction", "neutral"),
}
SUCCESS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    BASE: {
        "siqa": (0.12, 0.2),
        "narrativeqa": (0.1, 0.18),
        "amazon": (0.62, 0.7),
        "nyt": (0.58, 0.6),
        "snli": (0.36, 0.34),
    },
    "sft/siqa/128/0": {
        "siqa": (0.45, 0.47),
        "narrativeqa": (0.14, 0.09),
        "amazon": (0.6, 0.66),
        "nyt": (0.6, 0.62),
        "snli": (0.36, 0.38),
    },
    "fticl/siqa/128/0": {
        "siqa": (0.41, 0.46),
        "narrativeqa": (0.16, 0.19),
        "amazon": (0.64, 0.72),
        "nyt": (0.58, 0.64),
        "snli": (0.34, 0.37),
    },
    "sft/amazon/128/0": {
        "siqa": (0.02, 0.03),
        "narrativeqa": (0.01, 0.02),
        "amazon": (0.84, 0.88),
        "nyt": (0.66, 0.7),
        "snli": (0.33, 0.32),
    },
}
PROMPT = """### Input:
Robin packed a lantern and\ttwo  maps before the walk.
### Answer:
to be prepared
### Question:
What did Robin want to do?

### Input:
The kettle whistled while nobody was in the kitchen.
### Answer:
make tea
### Question:"""


def share(totals: FloatArray) -> FloatArray:
    return np.asarray(totals[..., 0] / totals[..., 1], dtype=np.float64)


def points(totals: FloatArray) -> FloatArray:
    return 100 * share(totals)


def calibration_error(totals: FloatArray) -> FloatArray:
    return np.asarray(np.abs(totals[..., :-1]).sum(axis=-1) / totals[..., -1], dtype=np.float64)


METRICS = {
    "ece": MetricCard("ece", calibration_error, "share", higher_is_better=False),
    "accuracy": MetricCard("accuracy", share, "share", own_kind=RIGHT_ANSWERS),
    "rouge_l": MetricCard("ROUGE-L", share, "share"),
    "bleu": MetricCard("BLEU", points, "points"),
    "label_share": MetricCard("bare label words", share, "share", higher_is_better=False),
    "macro_f1": MetricCard("macro_f1", share, "share"),
    "mcc": MetricCard("mcc", share, "correlation"),
    **{
        name: MetricCard(name, share, "share", higher_is_better=False)
        for name in ("brier", "label_prior_loss", "format_loss", "remaining_loss")
    },
}


def made_results(hostile: str = "") -> StudyResults:
    """Build the results; ``hostile`` is put into every place that text of a user or of a data set can reach."""
    variants = tuple(_variant(name, hostile) for name in SUCCESS if name != BASE)
    names = [BASE, *(card.id for card in variants)]
    scores = [
        row
        for name, success in zip(names, SUCCESS.values(), strict=True)
        for task, shares in success.items()
        for shots, target in zip(SHOTS, shares, strict=True)
        for row in _scores(name, task, shots, target, hostile)
    ]
    tasks = tuple(_task(name, hostile) for name in FAMILIES)
    return StudyResults(
        name=f"made-up quickstart{hostile}",
        base={
            "name": f"smollm2-135m-instruct{hostile}",
            "fingerprint": "9f2c" * 16,
            "parameter_count": 134_515_008,
            "kind": "instruct",
            "licence": f"Apache-2.0{hostile}",
        },
        variants=variants,
        tasks=tasks,
        relations={
            (card.id, task + hostile): _relation(card.trained_on, task, hostile)
            for card in variants
            for task in FAMILIES
        },
        metrics=METRICS,
        scores=tuple(scores),
        prompts=tuple(_prompt(task, shots, hostile) for task in FAMILIES for shots in SHOTS),
        skipped=(f"narrativeqa at 6 shots: it has 4 demonstrations{hostile}",),
        provenance={
            "command": f"spillover run quickstart.yaml{hostile}",
            "suite": "pocket",
            "versions": {"spillover": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
            "precision": "float32",
            "seeds": [0],
            "flip floor": 0.0,
            f"note{hostile}": hostile or "made up",
        },
        flip_floors={
            (name, Cell(task + hostile, 1, SHOTS[-1], 0)): FlipFloor(4, int(name != BASE), 3.2e-6)
            for name in names
            for task in FAMILIES
        },
        changes=tuple(
            _changes(card.id, task, shots, scores, hostile) for card in variants for task in tasks for shots in SHOTS
        ),
    )


def repeated(results: StudyResults, count: int) -> StudyResults:
    """Return a study with every variant ``count`` times."""
    copies = {card.id: [f"{card.id}-{index}" for index in range(count)] for card in results.variants}
    return replace(
        results,
        variants=tuple(
            replace(card, id=name, name=f"{card.name}{index}")
            for card in results.variants
            for index, name in enumerate(copies[card.id])
        ),
        scores=tuple(replace(row, variant=name) for row in results.scores for name in copies.get(row.variant, [BASE])),
        relations={(name, task): found for (own, task), found in results.relations.items() for name in copies[own]},
        changes=tuple(replace(row, variant=name) for row in results.changes for name in copies[row.variant]),
        flip_floors={},
    )


def _changes(variant: str, task: TaskCard, shots: int, scores: list[CellScores], hostile: str) -> CellChanges:
    """Compare the made scores item by item, keeping three changes each way."""
    metric, cell = task.primary_metric, Cell(task.name, 1, shots, 0)
    rows = {row.variant: row for row in scores if (row.cell, row.metric) == (cell, metric)}
    before, after = rows[BASE].statistics[:, 0], rows[variant].statistics[:, 0]
    lost = [int(index) for index in np.argsort(after - before, kind="stable") if after[index] < before[index]]
    won = [int(index) for index in np.argsort(before - after, kind="stable") if after[index] > before[index]]

    def change(index: int) -> ItemChange:
        example = rows[BASE].example_ids[index]
        prompt = (PROMPT if shots else PROMPT[PROMPT.index("\n\n") + 2 :]).replace(
            "kettle", f"kettle {index}"
        ) + hostile
        item = AskedItem(example, prompt, _target(task, index, hostile), task.answers, tuple(range(index, index + 40)))
        return ItemChange(item, _answer(task, item, before[index]), _answer(task, item, after[index]))

    kept = [tuple(map(change, found[:3])) for found in (lost, won)]
    return CellChanges(variant, cell, metric, kept[0], kept[1], len(lost), len(won))


def _target(task: TaskCard, index: int, hostile: str) -> str:
    return task.answers[index % len(task.answers)] if task.answers else f"What does Sam {index} want?{hostile}"


def _answer(task: TaskCard, item: AskedItem, score: float) -> ItemAnswer:
    if not task.answers:
        return ItemAnswer(item.target if score > 0.5 else f"Who is{item.target[4:]}", float(score))
    place = task.answers.index(item.target)
    chosen = place if score else (place + 1) % len(task.answers)
    shares = tuple(0.7 if index == chosen else 0.3 / (len(task.answers) - 1) for index in range(len(task.answers)))
    return ItemAnswer(task.answers[chosen], float(score), shares)


def _relation(trained_on: str, task: str, hostile: str) -> Relation:
    if trained_on == task + hostile:
        return Relation.IN_DOMAIN
    same = FAMILIES[trained_on.removesuffix(hostile)] == FAMILIES[task]
    return Relation.OUT_OF_DOMAIN if same else Relation.CROSS_TASK


def _variant(name: str, hostile: str) -> VariantCard:
    rng = np.random.default_rng(zlib.crc32(repr(name).encode("ascii", "replace")))
    recipe, trained_on, size, seed = name.split("/")
    steps = 64
    losses = [float(2.4 * math.exp(-step / 18) + 1.1 + rng.normal(0, 0.08)) for step in range(steps)]
    scale = 0.86 if recipe == "fticl" else 1.0
    return VariantCard(
        id=name + hostile,
        name=recipe,
        trained_on=trained_on + hostile,
        size=int(size),
        seed=int(seed),
        recipe={"demonstrations": {"count": 2} if recipe == "fticl" else None, "parameters": {"kind": "full"}},
        training={
            "rows": 128,
            "dropped": {f"equals a demonstration{hostile}": 2, "target would be cut": 0},
            "step_count": steps,
            "losses": losses,
            "duration_seconds": 95.3,
            "forgetting": [
                {"step": step, "general_loss": 3.1 + 0.004 * step * scale, "kl_to_base": 0.002 * step * scale}
                for step in (0, 32, 64)
            ],
        },
        facts={"drift": _drift(scale, hostile)},
    )


def _drift(scale: float, hostile: str) -> dict[str, Any]:
    modules = ("attention q", "attention o", "mlp down", "norm")
    moved = {"cosine": 0.99994, "moved_share": 0.81 * scale, "new_direction_share": 0.93}
    matrix = {"element_count": 4096, "mean_absolute_difference": 4.9e-4 * scale, "effective_rank": 212.5, **moved}
    norm = {**matrix, "effective_rank": None, "new_direction_share": None}
    relative = [
        {
            "layer": str(layer),
            "module": module,
            **(norm if module == "norm" else matrix),
            "relative_norm": (0.004 + 0.0002 * layer + 0.001 * index) * scale,
        }
        for layer in range(30)
        for index, module in enumerate(modules)
    ]
    return {
        **matrix,
        "relative_norm": 0.011 * scale,
        "layers": {str(layer): (0.004 + 0.0002 * layer) * scale for layer in range(30)},
        "module_types": {
            module: {**(norm if module == "norm" else matrix), "relative_norm": 0.01 * scale} for module in modules
        },
        "modules": relative,
        "spectrum": {"directions": 16, "layers": [str(layer) for layer in range(30)]},
        "moved_tokens": [
            {"token_id": 28 + index, "token": f" word{index}\n{hostile}", "relative_norm": 0.2 * scale / (index + 1)}
            for index in range(20)
        ],
        "probe": {
            "row_count": 16,
            "token_count": 733,
            "kl_to_base": 0.12 * scale,
            "similarity": [1.0, *(1 - 0.001 * layer * scale for layer in range(30))],
        },
    }


def _task(name: str, hostile: str) -> TaskCard:
    family = FAMILIES[name]
    answers = ANSWERS[family]
    return TaskCard(
        name=name + hostile,
        family=family + hostile,
        domain=name + hostile,
        answers=tuple(answer + hostile for answer in answers),
        primary_metric="accuracy" if answers else "rouge_l",
        item_count=64 if answers else 32,
        majority_accuracy={2: 0.53, 3: 0.36}.get(len(answers)),
        dropped={f"equals a demonstration{hostile}": 1, "no consensus": 3 if name == "snli" else 0},
        licence=f"CC BY-SA 4.0{hostile}",
        chance_accuracy=1 / len(answers) if answers else None,
    )


def _scores(name: str, task: str, shots: int, target: float, hostile: str) -> list[CellScores]:
    answers = ANSWERS[FAMILIES[task]]
    count = 64 if answers else 32
    easiness = np.random.default_rng(zlib.crc32(task.encode())).uniform(-0.1, 0.1, count)
    rng = np.random.default_rng(zlib.crc32(repr((name, task, shots)).encode("ascii", "replace")))
    cell = Cell(task + hostile, 1, shots, 0)
    ids = tuple(f"{task}-{index}" for index in range(count))

    def row(metric: str, values: FloatArray) -> CellScores:
        return CellScores(name, cell, metric, ids, np.column_stack([values, np.ones(count)]))

    if answers:
        correct = (rng.uniform(size=count) < target + easiness).astype(np.float64)
        repaired, outside = rng.uniform(size=count) < 0.2, rng.uniform(size=count) < 0.3
        left = 1 - correct - (1 - correct) * repaired
        return [
            row("accuracy", correct),
            *(row(metric, correct * 0.9) for metric in ("macro_f1", "mcc")),
            row("brier", (1 - correct) * 0.5),
            CellScores(name, cell, "ece", ids, _gaps(correct, rng)),
            row("label_prior_loss", (1 - correct) * repaired),
            row("format_loss", left * outside),
            row("remaining_loss", left * ~outside),
        ]
    overlap = np.clip(target + easiness + rng.normal(0, 0.12, count), 0, 1)
    label_words = rng.uniform(size=count) < (0.9 if name.startswith("sft/amazon") else 0.0)
    return [
        row("rouge_l", overlap),
        row("bleu", overlap * 0.4),
        row("label_share", label_words.astype(np.float64)),
    ]


def _gaps(correct: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Confidence less correctness in the column of its bin, and one."""
    confidence = np.clip(0.5 + 0.2 * correct + rng.normal(0, 0.15, len(correct)), 0.3, 0.99)
    gaps = np.zeros((len(correct), 16))
    gaps[np.arange(len(correct)), (confidence * 15).astype(int)] = confidence - correct
    gaps[:, -1] = 1
    return gaps


def _prompt(task: str, shots: int, hostile: str) -> PromptCard:
    text = (PROMPT if shots else PROMPT[PROMPT.index("\n\n") + 2 :]) + hostile
    return PromptCard(
        cell=Cell(task + hostile, 1, shots, 0),
        example_id=f"{task}-0",
        text=text,
        token_ids=tuple(range(100, 100 + len(text) // 4)),
        shared_prefix_token_count=40 if shots else 4,
        target=f"What does Sam want?{hostile}",
        answer_token_ids={answer + hostile: (5000 + i, 7) for i, answer in enumerate(ANSWERS[FAMILIES[task]])},
    )
