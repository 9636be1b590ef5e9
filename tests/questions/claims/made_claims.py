"""Small studies of the paper's kind with chosen scores: exact shares, or worlds drawn around true rates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from spillover.questions.claims.claims import Claim, claims
from spillover.records import BASE, Cell, CellScores, MetricCard, Relation, StudyResults, VariantCard
from spillover.statistics.cells import resample_scores
from tests.analysis.made_scores import METRICS, cell_scores, share, task

ITEMS = 40

FAMILY = {
    "question": "question",
    "otherquestion": "question",
    "summary": "summary",
    "mood": "sentiment",
    "othermood": "sentiment",
    "logic": "inference",
    "otherlogic": "inference",
}
TEXTS = ("question", "otherquestion", "summary")
METRIC_CARDS = {**METRICS, "rouge_l": MetricCard("ROUGE-L", share, "share")}

Rate = Callable[[VariantCard | None, Cell, str], float]
"""A variant (None is the base), a cell and a metric to the share of items that are right, or are bare label words."""


def made_study(
    variants: Sequence[str],
    rate: Rate,
    *,
    tasks: Sequence[str] = tuple(FAMILY),
    shots: Sequence[int] = (0, 2),
    forms: Sequence[int] = (1,),
    items: int = ITEMS,
    drifts: Mapping[str, float] = {},
    generator: np.random.Generator | None = None,
) -> StudyResults:
    """Build a study of variants named recipe/task/size/seed, `fticl` being FTICL.

    Without a generator the first items are right, as many as the rate says. With one they are drawn: items are hard or
    easy for all models alike, but for a tenth of the answers.
    """
    cards = [made_card(name, drifts.get(name)) for name in variants]
    scores = []
    for name in tasks:
        hardness = None if generator is None else generator.uniform(size=items)
        for form in forms:
            for shot_count in shots:
                cell = Cell(name, form, shot_count, 0)
                for card in (None, *cards):
                    for metric in ("rouge_l", "label_share") if name in TEXTS else ("accuracy",):
                        right = _right(rate(card, cell, metric), items, hardness, generator)
                        scores.append(_scores(card.id if card else BASE, cell, right, metric))
    relations = {(card.id, name): made_relation(card.trained_on, name) for card in cards for name in tasks}
    task_cards = tuple(_task(name) for name in tasks)
    provenance = {"suite": "genpower"}
    return StudyResults(
        "made", {}, tuple(cards), task_cards, relations, METRIC_CARDS, tuple(scores), (), (), provenance
    )


def found(results: StudyResults, resample_count: int = 100) -> dict[int, Claim]:
    """Return the claims of a study by their numbers."""
    scores = resample_scores(results, resample_count=resample_count)
    return {claim.number: claim for claim in claims(results, scores, level=0.95)}


def made_card(name: str, moved: float | None = None) -> VariantCard:
    """Return a variant named recipe/task/size/seed."""
    recipe, trained_on, size, seed = name.split("/")
    count = 2 if recipe.startswith("fticl") else 0
    drift = {} if moved is None else {"mean_absolute_difference": moved}
    card = VariantCard(
        id=name,
        name=recipe,
        trained_on=trained_on,
        size=int(size),
        seed=int(seed),
        recipe={"demonstrations": {"count": count}},
        facts={"drift": drift},
    )
    return replace(card, is_classification=trained_on not in TEXTS)


def made_relation(trained_on: str, tested_on: str) -> Relation:
    """Return how two made tasks relate."""
    if trained_on == tested_on:
        return Relation.IN_DOMAIN
    return Relation.OUT_OF_DOMAIN if FAMILY[trained_on] == FAMILY[tested_on] else Relation.CROSS_TASK


def _task(name: str):
    is_text = name in TEXTS
    card = task(name, answers=() if is_text else ("yes", "no"), metric="rouge_l" if is_text else "accuracy")
    return replace(card, family=FAMILY[name])


def _right(rate: float, items: int, hardness, generator: np.random.Generator | None) -> list[float]:
    if generator is None:
        right = round(rate * items)
        return [1.0] * right + [0.0] * (items - right)
    own = np.where(generator.uniform(size=items) < 0.1, generator.uniform(size=items), hardness)
    return list((own < rate).astype(float))


def _scores(model: str, cell: Cell, values: Sequence[float], metric: str) -> CellScores:
    return replace(cell_scores(model, cell.tested_on, cell.shots, values, metric), cell=cell)
