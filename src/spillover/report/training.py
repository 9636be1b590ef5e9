"""The report's section on training: what every run did, forgot and cost, and what each mixture took."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spillover.analysis.analysis import Analysis
from spillover.analysis.wording import counts, plain, signed
from spillover.records import StudyResults, VariantCard
from spillover.report.figures import drawn_variants, forgetting_panels, loss_chart, series_of, undrawn_words
from spillover.report.section import (
    Chart,
    Details,
    Entry,
    Panel,
    Part,
    Place,
    Row,
    Section,
    code,
    heading,
    name,
    note,
    number,
    point,
    table,
)


def training_section(results: StudyResults, analysis: Analysis) -> Section:
    """Return what training did, run by run."""
    drawn = drawn_variants(results, analysis)
    columns = (
        *("variant", "trained on", number("size"), number("rows used"), "rows dropped", number("steps")),
        *(number("first loss"), number("last loss"), number("seconds")),
    )
    parts: list[Part] = [table("Training", columns, [_run(card) for card in results.variants])]
    if any(card.training.get("losses") for card in results.variants):
        parts.append(
            Chart(
                "Training loss by optimizer step, a line per variant",
                lambda: [Panel("", "", loss_chart(results, drawn))],
                caption="Loss on target tokens, nats per token; long runs are averaged in blocks of steps."
                f"{undrawn_words(len(results.variants))}",
                legend=series_of(results, drawn)[1:],
            )
        )
    parts += [*_forgetting(results, drawn), *_recipes(results), *_sources(results)]
    recipes = [
        point(name(card.id), " ", code(json.dumps(card.recipe, default=str, ensure_ascii=False)))
        for card in results.variants
    ]
    parts.append(Details("Recipes", tuple(recipes)))
    summary = "Losses, rows left out, what was forgotten on the way, and what each run cost."
    return Section("training", "Training", tuple(parts), Place.PROVENANCE, summary=summary)


def _run(card: VariantCard) -> Row:
    found, losses = card.training, card.training.get("losses") or ()
    seconds = found.get("duration_seconds")
    return (
        *(card.id, card.trained_on, str(card.size or "–"), str(found.get("rows", "–"))),
        *(counts(found.get("dropped", {})), str(found.get("step_count", "–"))),
        *((plain(losses[0]), plain(losses[-1])) if losses else ("–", "–")),
        "–" if seconds is None else f"{seconds:.0f}",
    )


def _forgetting(results: StudyResults, drawn: Sequence[str]) -> Iterator[Part]:
    watched = [(card.id, looks) for card in results.variants if (looks := card.training.get("forgetting"))]
    if not watched:
        return
    yield heading("Forgetting while training")
    yield Chart(
        "While training, by optimizer step, a line per variant",
        lambda: forgetting_panels(results, drawn),
        caption=undrawn_words(len(results.variants)).strip(),
        legend=series_of(results, drawn)[1:],
        is_wide=True,
    )
    columns = (
        *("variant", number("looks"), number("general loss at first"), number("at last")),
        number("KL to base at last"),
    )
    yield table(
        "Forgetting while training",
        columns,
        [
            (
                *(variant, str(len(looks)), plain(looks[0]["general_loss"]), plain(looks[-1]["general_loss"])),
                f"{looks[-1]['kl_to_base']:.4f}",
            )
            for variant, looks in watched
        ],
    )
    yield note(
        "Nats per token, on general text, of the training a variant comes from; what was done afterwards is not in it."
    )


def _recipes(results: StudyResults) -> Iterator[Part]:
    rows = [
        (
            *(row.variant, f"{row.trained_share:.2%}", f"{row.touched_share:.2%}"),
            *(f"{row.extra_mebibytes:,.1f}", f"{row.extra_seconds:,.1f}"),
            Entry(row.facts or "–", more=row.by_layer, more_title="mean(G − I) by layer"),
        )
        for row in recipe_rows(results)
    ]
    if not rows:
        return
    columns = (
        *("variant", number("weights trained"), number("weights touched"), number("extra memory, MiB")),
        *(number("extra seconds"), "its constraint"),
    )
    yield heading("What each recipe touched and cost")
    yield table("What each recipe touched and cost", columns, rows)
    yield note(
        "Shares of all weights of the model. Touched are those that may differ from the base's. Memory and seconds are "
        "what the constraint takes beside plain training, of the training a variant comes from; what was done "
        "afterwards is not in it."
    )


def _sources(results: StudyResults) -> Iterator[Part]:
    rows = [
        (
            *(row.variant, row.source, str(row.stage), f"{row.row_count:,}", f"{row.repeated_count:,}"),
            *(f"{row.row_share:.0%}", f"{row.target_token_count:,}", f"{row.token_share:.0%}", counts(row.dropped)),
        )
        for row in source_rows(results)
    ]
    if not rows:
        return
    columns = (
        *("variant", "source", number("stage"), number("rows"), number("of these again"), number("share of rows")),
        *(number("target tokens"), number("share of tokens"), "rows dropped"),
    )
    title = "What each mixture took of its sources"
    dropped = note(
        "Of one pass over the rows. Dropped: held out elsewhere, repeated or too long, of all rows that the source had "
        "to give."
    )
    yield Details(title, (table(title, columns, rows), dropped))


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
