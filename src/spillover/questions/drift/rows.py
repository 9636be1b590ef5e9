"""The rows of the report's pages on drift: one per variant, what correlates with lost score, what was watched."""

from collections.abc import Mapping
from dataclasses import dataclass

from spillover.analysis.analysis import Analysis
from spillover.questions.drift.findings import LEAST_VARIANT_COUNT, SUMMARIES, DriftFindings, drift_summary
from spillover.records import StudyResults


@dataclass(frozen=True, slots=True)
class DriftRow:
    """How far one variant moved from the base."""

    variant: str
    mean_absolute_difference: float
    relative_norm: float
    turned: float
    """1 - cosine of base and variant."""
    moved_share: float
    effective_rank: float | None
    new_direction_share: float | None
    kl_to_base: float
    lowest_similarity: float
    plain_variant: str
    """The variant that differs only by training without demonstrations; empty when there is none."""
    ratio_to_plain: float | None
    module_types: Mapping[str, Mapping[str, float | None]]
    """Module type to the same numbers."""
    tokens: tuple[tuple[str, int, float], ...]
    """Text, id and relative norm of the embedding rows that moved most."""


@dataclass(frozen=True, slots=True)
class CorrelationRow:
    """How drift goes with lost score in one relation."""

    relation: str
    """And kind of metric."""
    variant_count: int
    values: tuple[float | None, ...]
    """In the order of `SUMMARIES`."""
    sentence: str
    """Why there is no number; empty where there is."""


@dataclass(frozen=True, slots=True)
class ForgettingRow:
    """What was watched while a variant was trained: before the first step, and after the last."""

    variant: str
    first_loss: float
    last_loss: float
    last_kl: float
    look_count: int


def _findings(analysis: Analysis) -> DriftFindings:
    found = analysis.findings.get("drift")
    return found if isinstance(found, DriftFindings) else DriftFindings((), (), ())


def drift_rows(results: StudyResults, analysis: Analysis) -> tuple[DriftRow, ...]:
    """Return the drift of every variant that has one."""
    pairs = {pair.variant: pair for pair in _findings(analysis).pairs}
    rows = []
    for card in results.variants:
        if not card.drift:
            continue
        drift, pair = card.drift, pairs.get(card.id)
        summary = drift_summary(drift)
        rows.append(
            DriftRow(
                variant=card.id,
                mean_absolute_difference=summary["mean_absolute_difference"],
                relative_norm=summary["relative_norm"],
                turned=1 - drift["cosine"],
                moved_share=drift["moved_share"],
                effective_rank=drift["effective_rank"],
                new_direction_share=drift["new_direction_share"],
                kl_to_base=summary["kl_to_base"],
                lowest_similarity=min(drift["probe"]["similarity"]),
                plain_variant=pair.plain_variant if pair else "",
                ratio_to_plain=pair.ratio if pair else None,
                module_types=drift["module_types"],
                tokens=tuple(
                    (item["token"], item["token_id"], item["relative_norm"]) for item in drift["moved_tokens"]
                ),
            )
        )
    return tuple(rows)


def drift_facts(results: StudyResults) -> dict[str, object]:
    """Return how drift was measured, the same for every variant: directions, probe text, and layers if not all."""
    drift = next((card.drift for card in results.variants if card.drift), None)
    if drift is None:
        return {}
    measured, layers = drift["spectrum"]["layers"], {layer for layer in drift["layers"] if layer.isdigit()}
    return {
        "drift_directions": drift["spectrum"]["directions"],
        "drift_layers": measured if set(measured) != layers else [],
        "drift_probe": drift["probe"],
    }


def correlation_rows(analysis: Analysis) -> tuple[CorrelationRow, ...]:
    """Return one row per relation and kind of metric that any variant was tested in."""
    found = {(item.relation, item.kind, item.summary): item for item in _findings(analysis).correlations}
    rows = []
    for relation, kind in dict.fromkeys((relation, kind) for relation, kind, _ in found):
        own = [found[relation, kind, name] for name in SUMMARIES]
        count, values = own[0].variant_count, tuple(item.spearman for item in own)
        sentence = ""
        if count < LEAST_VARIANT_COUNT:
            sentence = f"{count} variant{'s' * (count != 1)}: a rank correlation needs at least {LEAST_VARIANT_COUNT}"
        elif values == (None,) * len(values):
            sentence = f"all {count} variants lost, or moved, the same"
        rows.append(CorrelationRow(f"{relation}, {kind}", count, values, sentence))
    return tuple(rows)


def forgetting_rows(results: StudyResults) -> tuple[ForgettingRow, ...]:
    """Return what was watched of every variant whose training was."""
    watched = [(card.id, card.training["forgetting"]) for card in results.variants if card.training.get("forgetting")]
    return tuple(
        ForgettingRow(variant, looks[0]["general_loss"], looks[-1]["general_loss"], looks[-1]["kl_to_base"], len(looks))
        for variant, looks in watched
    )
