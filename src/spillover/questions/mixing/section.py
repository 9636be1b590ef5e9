"""The report's section on mixing: what to add, the matrices, what validation chose, and every arm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from spillover.analysis.wording import enumerated, interval_words, plain, signed
from spillover.questions.mixing.advice import Recommendation
from spillover.questions.mixing.amount import Coefficient, Interaction
from spillover.questions.mixing.arm_table import every_arm
from spillover.questions.mixing.chosen import Choice
from spillover.questions.mixing.entries import NOTHING, beside, difference, form_words, heat_entry, known, level
from spillover.questions.mixing.mixing import CocktailGain, FalseFacts, Mixing, SynergyMatrix
from spillover.report.section import (
    Column,
    Entry,
    Part,
    Place,
    Row,
    Section,
    Text,
    Words,
    code,
    heading,
    interval,
    name,
    note,
    number,
    point,
    strong,
    table,
    text,
)


def mixing_section(found: Mixing) -> Section:
    """Return the section; parts of which the study says nothing are not in it."""
    parts = (
        *_advice(found),
        *(part for matrix in found.matrices for part in _matrix(matrix)),
        *_choices(found),
        *_cocktail(found),
        *every_arm(found),
        *_numeric(found),
        *_general(found),
        *_efficiencies(found),
        *(part for item in found.interactions for part in _interaction(item)),
        *(part for facts in found.false_facts for part in _false_facts(facts)),
    )
    return Section(
        "mixing",
        "Which data to mix in",
        parts,
        Place.ANSWER,
        summary="What each added task does to each target, what to add, and every arm.",
    )


def _advice(found: Mixing) -> Iterator[Part]:
    yield from map(_recommendation, found.recommendations)
    if not found.recommendations:
        yield point("No arm has the same target trained alone beside it, so nothing can be recommended.")
    rule = f" {found.rule} {found.confidence_rule} Intervals cover the choice of items, not of training seed."
    yield note(strong("The rule."), rule)


def _recommendation(item: Recommendation) -> Text:
    pieces: list[str | Words] = [strong(f"{item.target}, {item.size:,} rows:"), f" {item.sentence}."]
    if item.added:
        pieces += [" Confidence: ", strong(item.confidence), "."]
    if item.also_clear:
        pieces.append(f" Also clear: {enumerated(item.also_clear)}.")
    if item.clearly_worse:
        pieces.append(f" Clearly worse: {enumerated(item.clearly_worse)}.")
    pieces.append(f" {item.arm_count} arm{'s' if item.arm_count != 1 else ''} compared.")
    return point(*pieces)


def _matrix(matrix: SynergyMatrix) -> Iterator[Part]:
    title = "What leaving a task out takes away" if matrix.is_leave_one_out else "What one added task does"
    yield heading(f"{title} ({form_words(matrix.size, matrix.budget, matrix.order)})")
    made = table(
        "Synergy matrix: targets in rows, tasks in columns",
        ("target", *(Column(other, "center", is_name=True) for other in matrix.others)),
        [
            (target, *(NOTHING if entry is None else heat_entry(entry) for entry in entries))
            for target, entries in zip(matrix.targets, matrix.entries, strict=True)
        ],
    )
    yield replace(made, style="matrix")
    meaning = (
        "Score with all tasks less the score with all but the column's: above zero, the task is worth its place."
        if matrix.is_leave_one_out
        else "Score on the row's task when the column's is added, less its score when trained alone."
    )
    steps = " An added task also adds training steps; see the gain at as many rows below."
    yield note(meaning + (steps if matrix.budget == "additive" else ""))


def _choices(found: Mixing) -> Iterator[Part]:
    if not found.choices:
        return
    yield heading("What validation chose, beside the mix fixed beforehand")
    yield table(
        "Mixtures chosen on validation rows",
        (
            *("target", "chosen on validation rows", number("validation loss"), "its test gain"),
            *(number("all tasks, fixed beforehand: validation loss"), "test gain"),
            *(number("target alone: validation loss"), number("mixtures compared")),
        ),
        [_choice(item) for item in found.choices],
    )
    yield note(
        "Validation loss: nats per target token, lower is better, on rows of the target that no arm trains on and no "
        "cell tests. The test rows take no part in the choice, so the gain of what was chosen is an honest one, as is "
        "that of the mix fixed beforehand."
    )


def _choice(item: Choice) -> Row:
    arm, full = item.chosen.arm, item.full
    beside = ("but the target alone validates better",) if item.is_worth_adding is False else ()
    compared = f"{item.compared_count}"
    if item.unmeasured_count:
        compared += f" of {item.compared_count + item.unmeasured_count}"
    return (
        Entry(arm.whole_target, small=(f"{arm.size:,} rows",)),
        Entry(arm.label, small=beside, is_strong=True),
        known(arm.validation_loss),
        difference(item.chosen.gain),
        known(full.arm.validation_loss if full else None),
        "it is the one chosen" if full and full.arm is arm else difference(full.gain if full else None),
        known(item.alone_loss),
        compared,
    )


def _cocktail(found: Mixing) -> Iterator[Part]:
    if not found.cocktail_gains:
        return
    yield heading("The whole cocktail")
    columns = ("mixture", "form", "targets", "mean gain")
    yield table("Gain of the whole mixture", columns, [_whole(item) for item in found.cocktail_gains])
    picked = "The best arm of the table below is picked by the test score itself and is not reported as a gain."
    ask = (
        ()
        if found.choices
        else (" To choose one without test rows, set ", code("validation"), " in ", code("mix"), ".")
    )
    yield note(picked, *ask)


def _whole(item: CocktailGain) -> Row:
    which = "all tasks, fixed beforehand" if item.is_full_mix else "chosen on validation rows"
    return which, form_words(item.size, item.budget, item.order), enumerated(item.targets), difference(item.gain)


def _numeric(found: Mixing) -> Iterator[Part]:
    if not found.numeric:
        return
    yield heading("Mathematics and numeric tasks")
    yield table(
        "Numeric transfer",
        ("target", "added", "against", "form", "numeric tasks", "difference"),
        [
            (
                *(item.arm.whole_target, item.arm.label, item.reference.label),
                form_words(item.arm.size, item.arm.budget, item.arm.order),
                *(enumerated(item.tasks), difference(item.gain)),
            )
            for item in found.numeric
        ],
    )
    yield note("Numeric tasks that only one of the two arms has seen are left out.")


def _general(found: Mixing) -> Iterator[Part]:
    if not found.general:
        return
    yield heading("General data, or just more steps?")
    rows: list[Row] = []
    for item in found.general:
        arm, equal = item.result.arm, difference(item.result.equal_gain)
        rows.append(
            (
                *(arm.whole_target, known(arm.coverage), f"{arm.target_rows:,}", f"{arm.general_rows:,}"),
                *(f"{arm.budget}, {arm.order}", difference(item.result.gain), difference(item.steps)),
                beside(equal, "matched") if item.result.equal_by == "matched" else equal,
            )
        )
    columns = (
        *("target", number("coverage"), number("its rows"), number("general rows"), "form"),
        *("gain with general data", "gain of as many steps without it", "general data at as many steps"),
    )
    yield table("Gain of general data beside that of as many steps", columns, rows)
    has_control = any(item.steps for item in found.general)
    ask = () if has_control else ("; ", code("budgets: [additive, steps]"), " in ", code("mix"), " adds that control")
    yield note(
        "Both gains are over the target alone. The last column is what steps cannot explain: with general data less as "
        "many steps on the target's own rows",
        *ask,
        ".",
    )


def _efficiencies(found: Mixing) -> Iterator[Part]:
    if not found.efficiencies:
        return
    yield heading("What a mixture is worth in target rows")
    rows: list[Row] = []
    for item in found.efficiencies:
        factor = f"not reached with {item.largest_rows:,} rows"
        if item.factor is not None:
            factor = f"{'at most ' if item.is_bound else ''}{plain(item.factor)}"
        high = "not reached" if item.high is None else plain(item.high)
        ends = "(no interval)" if item.low is None else f"[{plain(item.low)}, {high}]"
        arm = item.arm
        form = form_words(arm.size, arm.budget, arm.order)
        rows.append((arm.whole_target, arm.label, form, Entry(factor, is_strong=item.factor is not None), ends))
    yield table("Data-efficiency factors", ("target", "added", "form", "factor", interval()), rows)
    yield note(
        "How many times as many rows of the target alone score as much: below 1 fewer rows of the target alone do as "
        "well, because the addition did harm or more rows bring nothing. Read off between the sizes that were trained "
        "alone, on a logarithmic scale, never beyond them."
    )


def _interaction(item: Interaction) -> Iterator[Part]:
    yield heading(f"General data by coverage and amount ({item.budget}, {item.order})")
    yield text(item.sentence)
    if item.coefficients:
        columns = ("term", number("coefficient"), interval())
        yield table("Coefficients of the regression", columns, [_coefficient(term) for term in item.coefficients])


def _coefficient(term: Coefficient) -> Row:
    return term.term, Entry(signed(term.value), is_strong=True), interval_words(term.low, term.high)


def _false_facts(facts: FalseFacts) -> Iterator[Part]:
    yield heading("Wrong facts in training: ", name(facts.tested_on), f", {facts.size:,} rows of ", name(facts.target))
    told = [
        (f"{item.arm.false_share or 0:.0%}", level(item.accuracy), level(item.calibration_error))
        for item in facts.results
    ]
    yield table(
        "Closed-book accuracy by share of wrong facts",
        ("wrong facts", "closed-book score", "calibration error"),
        [
            ("base, told nothing", level(facts.base_accuracy), level(facts.base_calibration_error)),
            *told,
            (
                "change, from none wrong to all",
                difference(facts.accuracy_slope),
                difference(facts.calibration_slope),
            ),
        ],
    )
    yield note(
        "The facts are asked in words that no training row has. Calibration error: how far its certainty is from how "
        "often it is right, lower is better. The change is the least-squares slope over the shares, on the same items."
    )
