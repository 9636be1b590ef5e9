"""The rows of the report's section on training: what each recipe did and cost, and what each mixture took."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from spillover.analysis.wording import signed
from spillover.records import StudyResults


@dataclass(frozen=True, slots=True)
class RecipeRow:
    """What a variant's training touched, what its constraint took, and what that says of itself."""

    variant: str
    trained_share: float
    """Of the model's weights."""
    touched_share: float
    """Of the model's weights: those that may differ from the base's."""
    extra_mebibytes: float
    extra_seconds: float
    facts: str
    by_layer: str
    """Of SPIDER, mean(G - I) of each layer at the last step; else empty."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """What a mixture took of one source."""

    variant: str
    source: str
    stage: int
    """From 1 on."""
    row_count: int
    repeated_count: int
    """Of these, rows that came again."""
    target_token_count: int
    row_share: float
    token_share: float
    dropped: Mapping[str, int]


def recipe_rows(results: StudyResults) -> list[RecipeRow]:
    """Return a row for every variant that was trained here."""
    return [
        RecipeRow(
            variant=card.id,
            trained_share=report["trained_share"],
            touched_share=report["touched_share"],
            extra_mebibytes=report["extra_memory_bytes"] / 2**20,
            extra_seconds=report["extra_seconds"],
            facts="; ".join(_facts(report)),
            by_layer=", ".join(
                f"{layer} {signed(gap)}" for layer, gap in report.get("mean_strength_minus_importance", {}).items()
            ),
        )
        for card in results.variants
        if (report := card.training.get("recipe_report"))
    ]


def _facts(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a constraint says of itself, in words."""
    if moving := report.get("moving_shares"):
        yield f"mask above 0 in {moving[-1]:.0%} and 1 in {report['free_shares'][-1]:.0%} of the trained weights"
        yield f"{report['mask_churn'][-1]:.1%} changed sides in the last step"
        yield f"‖w − w0‖ {report['distance']:.3g}"
    if draw_count := report.get("draw_count"):
        yield f"half of each layer's matrices frozen, drawn {f'{draw_count:,} times' if draw_count > 1 else 'once'}"
    if "replayed_row_count" in report:
        yield f"{report['replayed_row_count']:,} rows replayed, {report.get('left_out_row_count', 0):,} left out"
    if rises := report.get("general_loss_rises"):
        then = "then stopped and went back to the look before" if report["stopped_early"] else "within the budget"
        yield f"loss on general text {signed(rises[-1])} nats a token to the base's at the last look, {then}"


def source_rows(results: StudyResults) -> list[SourceRow]:
    """Return a row for every source of every variant that is a mixture."""
    found = []
    for card in results.variants:
        mixture = card.mixture
        for source, row_share in mixture.get("row_shares", {}).items():
            found.append(
                SourceRow(
                    variant=card.id,
                    source=source,
                    stage=next(place for place, names in enumerate(mixture["stages"], 1) if source in names),
                    row_count=mixture["rows"][source],
                    repeated_count=mixture["repeated_rows"][source],
                    target_token_count=mixture["target_tokens"][source],
                    row_share=row_share,
                    token_share=mixture["token_shares"][source],
                    dropped=mixture["dropped"].get(source, {}),
                )
            )
    return found
