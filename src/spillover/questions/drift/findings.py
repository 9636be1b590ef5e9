"""What drift explains: its rank correlation with lost score, and whether FTICL moves the weights less than plain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spillover.analysis.drift_pairs import DriftPair, drift_of, drift_pairs, log_ratio
from spillover.analysis.relations import RelationSummary
from spillover.records import Relation, StudyResults
from spillover.statistics.ranks import LEAST_COUNT, spearman

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
    """Of its interval; None of a single training seed."""
    sentence: str
    seed_count: int = 1
    """Training seeds that the interval holds over."""


@dataclass(frozen=True, slots=True)
class DriftFindings:
    """What the drift of a study's variants says."""

    measured: Mapping[str, Mapping[str, Any]]
    """Variant to its drift, see `drift_of`; those without are absent."""
    correlations: tuple[DriftCorrelation, ...]
    pairs: tuple[DriftPair, ...]
    answers: tuple[DriftAnswer, ...]


def drift_findings(results: StudyResults, relations: Sequence[RelationSummary], *, level: float) -> DriftFindings:
    """Return the correlations per relation, and FTICL against plain fine-tuning wherever the study holds both."""
    found = drift_pairs(results)
    groups: dict[tuple[str, str], list[DriftPair]] = {}
    for pair in found:
        groups.setdefault((pair.name, pair.plain_name), []).append(pair)
    return DriftFindings(
        {card.id: drift for card in results.variants if (drift := drift_of(card))},
        drift_correlations(results, relations),
        found,
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
    summaries = {card.id: drift_summary(drift) for card in results.variants if (drift := drift_of(card))}
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
            found = float(spearman(moved, lost)) if len(own) >= LEAST_COUNT else float("nan")
            rows.append(DriftCorrelation(relation, kind, name, len(own), None if np.isnan(found) else found))
    return tuple(rows)


def _answer(name: str, plain: str, pairs: Sequence[DriftPair], level: float) -> DriftAnswer:
    """Return the geometric mean ratio with the interval of `log_ratio`."""
    found, count = log_ratio(pairs, level), len(pairs)
    less = sum(pair.ratio < 1 for pair in pairs)
    ratio = float(np.exp(found.mean))
    start = f"{name} against {plain}: mean |Δw| is {ratio:.2f} times as large"
    if found.low is None or found.high is None:
        where = "the only pair of variants" if count == 1 else f"{count} pairs of variants"
        sentence = f"{start} in {where}, less in {less} of {count}; {found.note}"
        return DriftAnswer(name, plain, count, less, ratio, None, None, sentence, found.seed_count)
    low, high = float(np.exp(found.low)), float(np.exp(found.high))
    reading = "the weights move less" if high < 1 else "the weights move more" if low > 1 else "no clear difference"
    sentence = (
        f"{start} over {count} pairs of variants, {level:.0%} interval {low:.2f} to {high:.2f}, which holds for other "
        f"training seeds; less in {less} of {count}: {reading}"
    )
    return DriftAnswer(name, plain, count, less, ratio, low, high, sentence, found.seed_count)
