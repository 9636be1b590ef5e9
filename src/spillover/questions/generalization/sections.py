"""The report's sections on generalization: verdicts, and what stands behind them and behind lost accuracy."""

from __future__ import annotations

from collections.abc import Sequence

from spillover.analysis.analysis import Analysis
from spillover.analysis.wording import interval_words, plain, signed
from spillover.questions.generalization.best_of_shots import BestOfShots
from spillover.questions.generalization.in_context import InContextGain
from spillover.questions.generalization.losses import AccuracyDrop, Part
from spillover.questions.generalization.verdicts import (
    LABEL_SHARE,
    LABEL_SHARE_MENTIONED,
    LIGHT_TERMS,
    RULE,
    TASK_FACTOR,
)
from spillover.records import BASE, StudyResults
from spillover.report.section import (
    Column,
    Details,
    Entry,
    Lights,
    Place,
    Row,
    Section,
    interval,
    note,
    number,
    strong,
    table,
    text,
    word,
    words,
)
from spillover.report.tables import cell_of, condition_words


def verdicts_section(results: StudyResults, analysis: Analysis) -> Section:
    """Return the verdict of every variant, and the rule that it follows."""
    rule = RULE.format(margin=results.margin, task_margin=TASK_FACTOR * results.margin)
    present = {item.light for item in analysis.verdicts}
    terms = [
        piece
        for light, meaning in LIGHT_TERMS.items()
        if light in present
        for piece in (" ", strong(light), f": {meaning.format(margin=results.margin)}.")
    ]
    if any("negative transfer" in item.reading for item in analysis.verdicts):
        terms += [" ", strong("negative transfer"), ": significantly below the base in some cell of another task."]
    terms.append(" Of a task: mean over shots. Not excluded: to a one-sided 95 % bound. Settled: 4 times in 5.")
    if all(card.id == f"{card.name}/{card.trained_on}/{card.size}/{card.seed}" for card in results.variants):
        terms.append(" Names are recipe/trained on/rows/seed.")
    parts = (Lights(analysis.verdicts), note(*terms[1:]), Details("The rule behind the verdicts", (text(rule),)))
    return Section("verdicts", "Verdicts", parts if analysis.verdicts else (), Place.VERDICT, is_open=True)


def best_section(results: StudyResults, found: Sequence[BestOfShots]) -> Section:
    """Return the best scores over shots."""
    lead = text(
        "Best score of the variant over shots against the best of the base. Both bests are picked by the test score "
        "itself, so these numbers are optimistic; the verdicts do not use them."
    )
    columns: tuple[Column | str, ...] = (
        *("variant", "tested on", word("relation"), word("metric"), number("base best"), number("at shots")),
        *(number("variant best"), number("at shots"), number("difference"), interval()),
    )
    rows: list[Row] = [
        (
            *(item.variant, item.tested_on, item.relation.value, results.metrics[item.metric].name),
            *(plain(item.base_best), str(item.base_shots), plain(item.variant_best), str(item.variant_shots)),
            Entry(signed(item.difference), is_strong=True),
            interval_words(item.low, item.high),
        )
        for item in found
    ]
    parts = (lead, table("Best over shots", columns, rows, fact_count=2)) if rows else ()
    return Section(
        "best",
        "Best over shots",
        parts,
        tag="optimistic",
        short="Best of shots",
        summary="The variant's best shot count against the base's; no verdict uses it.",
    )


def gains_section(results: StudyResults, found: Sequence[InContextGain]) -> Section:
    """Return what demonstrations add."""
    lead = text(
        "In-context gain: the score at k shots less the score at 0 shots, of the variant and of the base. A difference "
        "below zero means that the variant makes less of the same demonstrations."
    )
    conditions = condition_words(results)
    columns: tuple[Column | str, ...] = (
        *("variant", "tested on", word("relation"), word("metric"), number("shots"), number("base gain")),
        *(number("variant gain"), number("difference"), interval()),
    )
    rows: list[Row] = [
        (
            *(item.variant, item.cell.tested_on, item.relation.value, results.metrics[item.metric].name),
            *(conditions[item.cell], signed(item.base_gain), signed(item.variant_gain)),
            Entry(signed(item.difference), is_strong=True, star="interval excludes zero" if item.is_clear else ""),
            interval_words(item.low, item.high),
        )
        for item in found
    ]
    parts = (lead, table("In-context gains", columns, rows, fact_count=2)) if rows else ()
    return Section(
        "gains",
        "What demonstrations add",
        parts,
        short="In-context gain",
        summary="Score with demonstrations less score without, variant and base.",
    )


def losses_section(results: StudyResults, found: Sequence[AccuracyDrop]) -> Section:
    """Return the parts of every drop of accuracy."""
    lead = text(
        "Every cell in which a variant is less accurate than the base, what the drop is where the intervals show it, "
        "and its three parts. They sum to it; a part below zero costs the variant less than the base, and where such "
        "parts take away more than half of the drop, none of the others explains it. ",
        strong("Label prior"),
        ": what contextual calibration repairs. ",
        strong("Answer format"),
        ": items still wrong after it, on which the whole answer set has less than half of the probability, so that "
        "the model would say something else. ",
        strong("Remaining"),
        ": the other items still wrong.",
    )
    conditions = condition_words(results)
    columns: tuple[Column | str, ...] = (
        *("variant", "tested on", number("shots"), number("base"), number("variant"), number("drop")),
        *(words("what it is"), interval("label prior"), interval("answer format"), interval("remaining")),
    )
    rows: list[Row] = [
        (
            *(item.variant, item.cell.tested_on, conditions[item.cell]),
            *(plain(item.base_accuracy), plain(item.variant_accuracy)),
            Entry(plain(item.drop), is_strong=True, star="significant after Holm" if item.is_clear else ""),
            item.reading,
            *map(_part, (item.label_prior, item.answer_format, item.remaining)),
        )
        for item in found
    ]
    parts = (lead, table("Parts of accuracy drops", columns, rows, fact_count=3)) if rows else ()
    return Section(
        "losses",
        "Where accuracy was lost",
        parts,
        Place.CAUSES,
        short="Lost accuracy",
        summary="Was it a preferred label, the form of the answer, or what is left?",
    )


def _part(part: Part) -> Entry:
    return Entry(signed(part.amount), is_strong=True, small=(interval_words(part.low, part.high),))


def labels_section(results: StudyResults, analysis: Analysis) -> Section:
    """Return how many generations are a bare label word, a row per cell and a column per model."""
    found = {(row.variant, cell_of(row)): row.value for row in analysis.measurements if row.metric == LABEL_SHARE}
    models = [BASE, *(card.id for card in results.variants)]
    conditions = condition_words(results)
    rows: list[Row] = [
        (cell.tested_on, conditions[cell], *(_share(found.get((model, cell))) for model in models))
        for cell in dict.fromkeys(cell for _, cell in found)
    ]
    lead = text(
        "Share of generations that are nothing but a label word: the sign of a model that answers every question in "
        f"the form of its training task. Shares of {LABEL_SHARE_MENTIONED:.0%} and more are set bold."
    )
    columns: tuple[Column | str, ...] = (
        "tested on",
        number("shots"),
        *(Column(model, "number", is_name=True) for model in models),
    )
    parts = (lead, table("Label shares", columns, rows, fact_count=2)) if rows else ()
    return Section(
        "labels",
        "Label words in place of text",
        parts,
        Place.CAUSES,
        short="Label words",
        summary="How often a generated text is only a label of the training task.",
    )


def _share(share: float | None) -> Entry:
    return Entry("–") if share is None else Entry(f"{share:.0%}", is_strong=share >= LABEL_SHARE_MENTIONED)
