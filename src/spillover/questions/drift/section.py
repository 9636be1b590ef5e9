"""Drift in the report: how far each variant moved and where, and what goes with lost score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spillover.analysis.wording import enumerated, plain, scientific, signed
from spillover.questions.drift.drawing import heat_maps, similarity_chart
from spillover.questions.drift.findings import SUMMARIES, DriftFindings
from spillover.records import StudyResults
from spillover.report.figures import MOST_LINES, series_of, undrawn_words
from spillover.report.section import (
    Chart,
    Column,
    Details,
    Entry,
    Panel,
    Part,
    Place,
    Row,
    Section,
    Table,
    code,
    heading,
    name,
    note,
    number,
    strong,
    table,
    text,
)
from spillover.statistics.ranks import LEAST_COUNT

MOVED = tuple(
    map(number, ("mean |Δw|", "relative norm", "1 − cosine", "weights moved", "effective rank", "new directions"))
)


def drift_section(results: StudyResults, found: DriftFindings) -> Section:
    """Return what was measured of every variant, and what it explains."""
    answers = [
        text(strong("Does training with demonstrations move the weights less?"), " ", name(answer.sentence), ".")
        for answer in found.answers
    ]
    moved_most = sorted(found.measured, key=lambda variant: -found.measured[variant]["relative_norm"])[:MOST_LINES]
    drawn = {variant: drift for variant, drift in found.measured.items() if variant in moved_most}
    undrawn = undrawn_words(len(found.measured), "whose weights moved most")
    parts: list[Part] = [*answers, _variants(found), *_notes(found), heading("Where the weights moved")]
    parts.append(
        Chart(
            "Relative norm of the weight change per layer and module type",
            lambda: heat_maps(drawn),
            caption=f"{undrawn} The others by module type are in summary.json.".strip() if undrawn else "",
            is_wide=True,
        )
    )
    parts += [_modules(variant, drift) for variant, drift in drawn.items()]
    styles = series_of(results, drawn)
    parts += [
        heading("What the model computes"),
        Chart(
            "Similarity of hidden states to the base's by depth, a line per variant",
            lambda: [Panel("", "", similarity_chart(drawn, styles))],
            caption="Linear CKA of hidden states with the base's, after the embedding (0) and after each layer."
            f"{undrawn}",
            legend=styles[1:],
        ),
    ]
    return Section(
        "drift",
        "How far the model moved",
        (*parts, *_correlations(found)),
        Place.RECORD,
        summary="How much the weights and the predictions changed, where, and whether that goes with lost score.",
    )


def _variants(found: DriftFindings) -> Table:
    pairs = {pair.variant: pair for pair in found.pairs}
    rows: list[Row] = []
    for variant, drift in found.measured.items():
        pair, probe = pairs.get(variant), drift["probe"]
        against = f"{plain(pair.ratio)} × the mean |Δw| of {pair.plain_variant}" if pair else "–"
        kl, similarity = f"{probe['kl_to_base']:.4f}", f"{min(probe['similarity']):.3f}"
        rows.append((variant, *_moved(drift), kl, similarity, against))
    own = (number("KL to base"), number("lowest CKA"), Column("against plain fine-tuning"))
    return table("Drift", (Column("variant"), *MOVED, *own), rows)


def _moved(drift: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what stands in the columns of `MOVED`, of a variant or of one of its module types."""
    rank, new = drift["effective_rank"], drift["new_direction_share"]
    return (
        *(scientific(drift[key]) for key in ("mean_absolute_difference", "relative_norm")),
        scientific(1 - drift["cosine"]),
        f"{drift['moved_share']:.0%}",
        "–" if rank is None else f"{rank:.1f}",
        "–" if new is None else f"{new:.0%}",
    )


def _notes(found: DriftFindings) -> list[Part]:
    """Return how drift was measured, the same for every variant."""
    drift = next(iter(found.measured.values()))
    directions, decomposed, probe = drift["spectrum"]["directions"], drift["spectrum"]["layers"], drift["probe"]
    layers = {layer for layer in drift["layers"] if layer.isdigit()}
    those = "" if set(decomposed) == layers else f" Ranks and directions are those of layers {enumerated(decomposed)}."
    return [
        note(
            strong("Weights."),
            " Relative norm: norm of the change over the norm of the base. Effective rank: over how many directions "
            "the change of a matrix is spread (exponential of the entropy of its singular values), mean over "
            f"matrices. New directions: the share of the change's strongest {directions} directions that lies outside "
            f"the base's strongest {directions}; about 100 % for a change unrelated to the base.{those}",
        ),
        note(
            strong("Function."),
            f" On the same {probe['row_count']} paragraphs of general text ({probe['token_count']} tokens), in "
            "float32: KL of the next token's distribution from the base's to the variant's, nats per token; CKA, the "
            "similarity of hidden states to the base's, 1 when they are equal up to rotation and scale.",
        ),
    ]


def _modules(variant: str, drift: Mapping[str, Any]) -> Details:
    rows: list[Row] = [(module, *_moved(item)) for module, item in drift["module_types"].items()]
    pieces = [
        piece
        for token in drift["moved_tokens"]
        for piece in (", ", code(token["token"]), f" {scientific(token['relative_norm'])}")
    ]
    lead = "Rows of the embedding that moved most, with the norm of their change over their own: "
    tokens = text(lead, *pieces[1:], ".") if pieces else text("No row of the embedding moved.")
    by_module = table("Drift by module type", ("module type", *MOVED), rows)
    return Details(f"{variant} by module type and token", (by_module, tokens))


def _correlations(found: DriftFindings) -> list[Part]:
    """Return how drift goes with lost score, one row per relation and kind of metric; nothing where none was tested."""
    own = {(item.relation, item.kind, item.summary): item for item in found.correlations}
    rows: list[Row] = []
    for relation, kind in dict.fromkeys((relation, kind) for relation, kind, _ in own):
        values = [own[relation, kind, summary].spearman for summary in SUMMARIES]
        count = own[relation, kind, SUMMARIES[0]].variant_count
        shown: Row = ["–" if value is None else signed(value) for value in values]
        if count < LEAST_COUNT:
            words = f"{count} variant{'s' * (count != 1)}: a rank correlation needs at least {LEAST_COUNT}"
            shown = [Entry(words, columns=len(values))]
        elif not any(value is not None for value in values):
            shown = [Entry(f"all {count} variants lost, or moved, the same", columns=len(values))]
        rows.append((f"{relation}, {kind}", str(count), *shown))
    if not rows:
        return []
    titles = ("variants", "mean |Δw|", "relative norm", "KL to base", "1 − CKA")
    return [
        heading("Does drift go with lost score?"),
        table("Correlation of drift with lost score", ("relation", *map(number, titles)), rows),
        note(
            "Spearman's rank correlation over variants of drift with lost score, the base's mean less the variant's: "
            "+1 when the variants that moved more lost more. Variants of one study are few and related; this "
            "describes them and predicts no others."
        ),
    ]
