"""What drift explains: its rank correlation with lost score, and whether FTICL moves the weights less than plain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from spillover.analysis.contrasts import Estimate
from spillover.analysis.relations import RelationSummary
from spillover.records import FloatArray, Relation, StudyResults, VariantCard

LEAST_VARIANT_COUNT = 4
"""Three variants have only six orders: chance alone makes a perfect rank correlation one time in six."""

SUMMARIES = ("mean_absolute_difference", "relative_norm", "kl_to_base", "dissimilarity")
"""One number a variant each, see `drift_summary`."""


@dataclass(frozen=True, slots=True)
class DriftCorrelation:
    """Whether the variants that drifted more lost more, in one relation."""

    relation: Relation
    kind: str
    """Of the metrics that lost score is in, see `MetricCard.kind`."""
    summary: str
    """One of `SUMMARIES`."""
    variant_count: int
    spearman: float | None
    """Rank correlation of drift with lost score, -1..1; None for too few variants or where one of both is constant."""


@dataclass(frozen=True, slots=True)
class DriftPair:
    """A variant trained with demonstrations beside the one that differs by having none."""

    variant: str
    plain_variant: str
    ratio: float
    """Of their mean |w - w0|."""


@dataclass(frozen=True, slots=True)
class DriftAnswer:
    """Whether demonstrations in training moved the weights less, over tasks, sizes and seeds."""

    name: str
    plain_name: str
    pair_count: int
    less_count: int
    """Pairs whose ratio is below 1."""
    ratio: float
    """Geometric mean."""
    low: float | None
    high: float | None
    """Of its interval; None for a single pair."""
    sentence: str


@dataclass(frozen=True, slots=True)
class DriftFindings:
    """What the drift of a study's variants says."""

    correlations: tuple[DriftCorrelation, ...]
    pairs: tuple[DriftPair, ...]
    answers: tuple[DriftAnswer, ...]


def drift_findings(results: StudyResults, relations: Sequence[RelationSummary], *, level: float) -> DriftFindings:
    """Return the correlations per relation, and FTICL against plain fine-tuning wherever the study holds both."""
    found = list(_pairs(results))
    groups: dict[tuple[str, str], list[DriftPair]] = {}
    for card, plain, pair in found:
        groups.setdefault((card.name, plain.name), []).append(pair)
    return DriftFindings(
        drift_correlations(results, relations),
        tuple(pair for _, _, pair in found),
        tuple(_answer(name, plain, own, level) for (name, plain), own in groups.items()),
    )


def drift_summary(drift: Mapping[str, Any]) -> dict[str, float]:
    """Return a variant's `SUMMARIES`; ``dissimilarity`` is the mean over depths of 1 - CKA."""
    probe = drift["probe"]
    values = (
        drift["mean_absolute_difference"],
        drift["relative_norm"],
        probe["kl_to_base"],
        1 - float(np.mean(probe["similarity"])),
    )
    return {name: float(value) for name, value in zip(SUMMARIES, values, strict=True)}


def drift_correlations(results: StudyResults, relations: Sequence[RelationSummary]) -> tuple[DriftCorrelation, ...]:
    """Return the Spearman correlation over variants of each drift summary with lost score, per relation and kind.

    Lost score is the base's mean minus the variant's (`RelationSummary`), the other way where lower is better.
    """
    summaries = {card.id: drift_summary(card.drift) for card in results.variants if card.drift}
    rows = []
    measured = [item for item in relations if item.variant in summaries]
    order = list(Relation)
    for relation, kind in sorted(
        {(item.relation, item.kind) for item in measured}, key=lambda one: (order.index(one[0]), one[1])
    ):
        own = [item for item in measured if (item.relation, item.kind) == (relation, kind)]
        lost = np.array([-item.mean_difference if item.higher_is_better else item.mean_difference for item in own])
        for name in SUMMARIES:
            moved = np.array([summaries[item.variant][name] for item in own])
            rows.append(DriftCorrelation(relation, kind, name, len(own), _spearman(moved, lost)))
    return tuple(rows)


def _spearman(one: FloatArray, other: FloatArray) -> float | None:
    if len(one) < LEAST_VARIANT_COUNT or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: FloatArray) -> FloatArray:
    """Return each value's rank, ``(n,)``; equal ones share the mean of theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((counts.cumsum() - (counts - 1) / 2)[which], dtype=np.float64)


def _pairs(results: StudyResults) -> list[tuple[VariantCard, VariantCard, DriftPair]]:
    pairs = []
    for card in results.variants:
        plain = _plain_counterpart(card, results)
        if plain:
            moved, plain_moved = (float(item.drift["mean_absolute_difference"]) for item in (card, plain))
            pairs.append((card, plain, DriftPair(card.id, plain.id, moved / plain_moved)))
    return pairs


def _plain_counterpart(card: VariantCard, results: StudyResults) -> VariantCard | None:
    """Return the variant of the same rows, seed, settings and recipe that was trained without demonstrations."""
    if not card.drift or not _demonstration_count(card):
        return None
    return next(
        (
            other
            for other in results.variants
            if other.drift and not _demonstration_count(other) and _all_else(other) == _all_else(card)
        ),
        None,
    )


def _demonstration_count(card: VariantCard) -> int:
    slot = card.recipe.get("demonstrations")
    return int(slot.get("count", 0)) if isinstance(slot, Mapping) else int(slot or 0)


def _all_else(card: VariantCard) -> tuple[object, ...]:
    recipe = {slot: value for slot, value in card.recipe.items() if slot != "demonstrations"}
    mixed = card.mixture
    shares, repeats = mixed.get("row_shares", {card.trained_on: 1.0}), sum(mixed.get("repeated_rows", {}).values())
    rows = card.trained_on, card.size, shares, repeats, mixed.get("order", "joint")
    return *rows, card.seed, recipe, card.training.get("settings")


def log_ratio(logs: Sequence[float], level: float) -> Estimate:
    """Return the mean log ratio with Student's t interval, n - 1 degrees of freedom; of a single one there is none."""
    center, count = float(np.mean(logs)), len(logs)
    if count < 2:
        return Estimate(center, None, None, count)
    half = float(stdtrit(count - 1, (1 + level) / 2)) * float(np.std(logs, ddof=1)) / count**0.5
    return Estimate(center, center - half, center + half, count)


def _answer(name: str, plain: str, pairs: Sequence[DriftPair], level: float) -> DriftAnswer:
    """Return the geometric mean ratio with the interval of `log_ratio`."""
    found, count = log_ratio([np.log(pair.ratio) for pair in pairs], level), len(pairs)
    less = sum(pair.ratio < 1 for pair in pairs)
    ratio = float(np.exp(found.mean))
    start = f"{name} against {plain}: mean |Δw| is {ratio:.2f} times as large"
    if found.low is None or found.high is None:
        sentence = f"{start} in the only pair of variants; more seeds or tasks would give an interval"
        return DriftAnswer(name, plain, count, less, ratio, None, None, sentence)
    low, high = float(np.exp(found.low)), float(np.exp(found.high))
    reading = "the weights move less" if high < 1 else "the weights move more" if low > 1 else "no clear difference"
    sentence = (
        f"{start} over {count} pairs of variants, {level:.0%} interval {low:.2f} to {high:.2f}; less in {less} of "
        f"{count}: {reading}"
    )
    return DriftAnswer(name, plain, count, less, ratio, low, high, sentence)
