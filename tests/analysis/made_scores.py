"""Small studies whose scores are written out by hand."""

from collections.abc import Mapping, Sequence

import numpy as np

from spillover.records import (
    BASE,
    Cell,
    CellScores,
    FloatArray,
    MetricCard,
    Relation,
    StudyResults,
    TaskCard,
    VariantCard,
)

VARIANT = "sft/home/8/0"

Scores = Mapping[tuple[str, int], Sequence[float]]
"""(tested task, shots) to one score per example."""


def share(totals: FloatArray) -> FloatArray:
    return np.asarray(totals[..., 0] / totals[..., 1], dtype=np.float64)


METRICS = {
    "accuracy": MetricCard("accuracy", share, "share"),
    "loss": MetricCard("loss", share, "nats", higher_is_better=False),
    "label_share": MetricCard("bare label words", share, "share", higher_is_better=False),
    **{
        name: MetricCard(name, share, "share", higher_is_better=False)
        for name in ("label_prior_loss", "format_loss", "remaining_loss")
    },
}


def task(name: str, *, metric: str = "accuracy", answers: tuple[str, ...] = ("yes", "no")) -> TaskCard:
    return TaskCard(name, "family", name, answers, metric, 4, 0.5 if answers else None, {})


def cell_scores(
    variant: str, tested_on: str, shots: int, values: Sequence[float], metric: str = "accuracy"
) -> CellScores:
    statistics = np.column_stack([np.asarray(values, dtype=np.float64), np.ones(len(values))])
    ids = tuple(f"{tested_on}-{index}" for index in range(len(values)))
    return CellScores(variant, Cell(tested_on, 1, shots, 0), metric, ids, statistics)


def study(
    base: Scores,
    variant: Scores,
    relations: Mapping[str, Relation],
    *,
    tasks: Sequence[TaskCard] | None = None,
    extra: Sequence[CellScores] = (),
) -> StudyResults:
    cards = tuple(tasks) if tasks else tuple(task(name) for name in relations)
    metric = {card.name: card.primary_metric for card in cards}
    return StudyResults(
        name="by hand",
        base={"name": "tiny"},
        variants=(VariantCard(id=VARIANT, name="sft", trained_on="home", size=8, seed=0, recipe={}),),
        tasks=cards,
        relations={(VARIANT, name): relation for name, relation in relations.items()},
        metrics=METRICS,
        scores=(
            *(cell_scores(BASE, name, shots, values, metric[name]) for (name, shots), values in base.items()),
            *(cell_scores(VARIANT, name, shots, values, metric[name]) for (name, shots), values in variant.items()),
            *extra,
        ),
        prompts=(),
        skipped=(),
        provenance={},
    )
