"""True rates of right answers under which a claim of the paper holds, is false, or stands at its boundary."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spillover.questions.claims.claims import Outcome
from spillover.records import Cell, StudyResults, VariantCard
from tests.questions.claims.made_claims import found, made_study

SEEDS = (0, 1, 2)

True_ = Callable[[VariantCard | None, Cell, str, float], float]
"""A variant (None is the base), a cell, a metric and how far from the boundary, true above zero: the rate."""


@dataclass(frozen=True)
class Worlds:
    """What a claim's worlds are made of."""

    number: int
    recipes: tuple[str, ...]
    """Recipe/task/size, each trained with every seed."""
    tasks: tuple[str, ...]
    rate: True_
    boundaries: tuple[float, ...] = (0.0,)
    """The shift up to which every statement is false, and that from which none is: mostly the same."""
    clear: float = 0.25
    """A shift that is clear, one way and the other."""
    forms: tuple[int, ...] = (1,)
    clear_items: int = 150
    """Items that show what is clear; level and little need more."""


def _in_domain(card, cell, metric, shift):
    at_boundary = 0.05 if cell.tested_on == "mood" else 0.0
    away = -shift if cell.tested_on == "mood" else shift
    return 0.5 + (at_boundary + away if card else 0.0)


def _gains(card, cell, metric, shift):
    gain = (0.05 - shift if shift < 0 else max(0.05 - shift, 0.0)) if card else shift
    return 0.4 + (gain if cell.shots else 0.0)


def _sizes(card, cell, metric, shift):
    return 0.5 + ((0.02 - shift) * {8: 0, 16: 1, 32: 2}[card.size] if card else 0.0)


def _elsewhere(card, cell, metric, shift):
    if card is None:
        return 0.4
    level = 0.05 - shift if shift < 0 else max(0.05 - shift, 0.0)
    return 0.4 + {"otherquestion": -shift, "othermood": level, "otherlogic": shift}.get(cell.tested_on, 0.0)


def _ruined(card, cell, metric, shift):
    if metric == "label_share":
        return 0.95 + shift if card else 0.0
    if cell.tested_on == "question":
        return 0.05 - shift if card else 0.05 + max(0.0, shift)
    return 0.5 + (shift - 0.05 if card and card.trained_on == "question" else 0.0)


def _forms(card, cell, metric, shift):
    added = shift if card and card.trained_on == "logic" else 0.0
    return 0.4 + (added if cell.prompt_form == 2 else 0.0)


def _fticl(card, cell, metric, shift):
    shown = card is not None and card.name == "fticl"
    if card is None:
        return 0.5
    if card.trained_on == "mood" and cell.tested_on in ("mood", "othermood"):
        return 0.5 + (shift if shown else 2 * shift)
    return 0.5 + (shift if shown else 0.0)


WORLDS = (
    Worlds(1, ("sft/logic/8", "sft/mood/8"), ("logic", "mood"), _in_domain),
    Worlds(2, ("sft/logic/8",), ("logic",), _gains, clear_items=400),
    Worlds(3, ("sft/logic/8", "sft/logic/16", "sft/logic/32"), ("logic",), _sizes, (0.0, 0.02), clear=0.2),
    Worlds(
        4,
        ("sft/question/8", "sft/mood/8", "sft/logic/8"),
        ("otherquestion", "othermood", "otherlogic"),
        _elsewhere,
        clear_items=600,
    ),
    Worlds(5, ("sft/question/8", "sft/logic/8"), ("question", "logic"), _ruined, clear_items=300),
    Worlds(6, ("sft/question/8", "sft/logic/8"), ("summary", "mood"), _forms, forms=(1, 2)),
    Worlds(
        7,
        ("sft/question/8", "fticl/question/8", "sft/mood/8", "fticl/mood/8"),
        ("otherquestion", "mood", "othermood", "summary"),
        _fticl,
        clear=0.2,
    ),
    Worlds(8, ("sft/logic/8", "fticl/logic/8", "sft/mood/8", "fticl/mood/8"), ("logic",), lambda *_: 0.5),
)


def drawn(
    worlds: Worlds, shift: float, generator: np.random.Generator, *, items: int, deviation: float
) -> StudyResults:
    """Return one world: items and training seeds are drawn, seeds with a standard deviation of their own."""
    names = [f"{recipe}/{seed}" for recipe in worlds.recipes for seed in SEEDS]
    own = {name: generator.normal(0, deviation) for name in names}

    def rate(card, cell, metric):
        true = worlds.rate(card, cell, metric, shift)
        # At the ends there is no room to vary, and none to move the truth.
        return float(true + min(1.0, 4 * true * (1 - true)) * own[card.id]) if card and 0 < true < 1 else float(true)

    drifts = {name: 1e-4 * np.exp(generator.normal(0, 0.03) - shift * name.startswith("fticl")) for name in names}
    return made_study(
        names,
        rate,
        tasks=worlds.tasks,
        forms=worlds.forms,
        items=items,
        drifts=drifts if worlds.number == 8 else {},
        generator=generator,
    )


@dataclass(frozen=True)
class Shares:
    """Of worlds."""

    part_holds: float
    """In which a statement holds, the largest over statements."""
    fails: float
    """In which the claim fails, by whichever statement."""
    holds: float
    """In which the claim holds."""


def shares(worlds: Worlds, shift: float, *, count: int, items: int, deviation: float = 0.015, seed: int = 0) -> Shares:
    """Draw worlds and count what is said of them."""
    generator = np.random.default_rng([worlds.number, seed])
    said = [
        found(drawn(worlds, shift, generator, items=items, deviation=deviation))[worlds.number] for _ in range(count)
    ]
    holding = np.array([[part.outcome is Outcome.HOLDS for part in claim.parts] for claim in said])
    outcomes = [claim.outcome for claim in said]
    return Shares(
        float(holding.mean(axis=0).max()),
        float(np.mean([outcome is Outcome.FAILS for outcome in outcomes])),
        float(np.mean([outcome is Outcome.HOLDS for outcome in outcomes])),
    )
