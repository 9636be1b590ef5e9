"""Variants trained with demonstrations beside those without: how far each moved, and the mean ratio of the two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spillover.analysis.counterpart import counterpart_without_demonstrations
from spillover.records import StudyResults, VariantCard
from spillover.statistics.contrasts import Estimate
from spillover.statistics.distributions import stdtr, stdtrit


@dataclass(frozen=True, slots=True)
class DriftPair:
    """A variant trained with demonstrations beside the one that differs by having none."""

    variant: str
    plain_variant: str
    ratio: float
    """Of their mean |w - w0|."""
    name: str
    """The variant's, without task, size and seed."""
    plain_name: str
    variants: str
    """What several seeds of the variant share: name, task and size."""
    seed: int


def drift_of(card: VariantCard) -> Mapping[str, Any]:
    """Return what `training.drift.measure.measure_drift` measured of a variant; empty where it was not."""
    return card.facts.get("drift", {})


def drift_pairs(results: StudyResults) -> tuple[DriftPair, ...]:
    """Return every variant trained with demonstrations whose drift is known beside that of its counterpart."""
    pairs = []
    measured = [card for card in results.variants if drift_of(card)]
    for card in measured:
        plain = counterpart_without_demonstrations(card, measured)
        if plain:
            moved, plain_moved = (float(drift_of(item)["mean_absolute_difference"]) for item in (card, plain))
            variants = f"{card.name}/{card.trained_on}/{card.size}"
            pairs.append(DriftPair(card.id, plain.id, moved / plain_moved, card.name, plain.name, variants, card.seed))
    return tuple(pairs)


def log_ratio(pairs: Sequence[DriftPair], level: float) -> Estimate:
    """Return the mean logarithm of ratios with an interval that holds for other training seeds.

    Weights have no items to resample: what varies is the seed, over whose means Student's t is taken, n - 1 degrees of
    freedom. Tasks, sizes and recipes are those of the study. There is no interval of a single seed, and none where
    some variants lack a seed that others have: seeds would differ by what was trained with them.
    """
    by_seed: dict[int, dict[str, list[float]]] = {}
    for pair in pairs:
        by_seed.setdefault(pair.seed, {}).setdefault(pair.variants, []).append(float(np.log(pair.ratio)))
    logs = [[log for own in of_seed.values() for log in own] for of_seed in by_seed.values()]
    values = np.array([np.mean(own) for own in logs])
    center, count = float(np.mean([log for own in logs for log in own])), len(values)
    if count < 2 or len({tuple(sorted(of_seed)) for of_seed in by_seed.values()}) > 1:
        note = "several training seeds of all of them would give an interval"
        return Estimate(center, None, None, len(pairs), None, note)
    error = float(np.std(values, ddof=1)) / count**0.5
    half = float(stdtrit(count - 1, (1 + level) / 2)) * error
    p_value = float(2 * stdtr(count - 1, -abs(center) / error)) if error > 0 else float(center == 0)
    return Estimate(center, center - half, center + half, len(pairs), p_value, "", count)
