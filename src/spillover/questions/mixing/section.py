"""The report's section on mixing: what to add, the matrices, what validation chose, and every arm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from spillover.analysis.contrasts import Estimate
from spillover.analysis.wording import enumerated, interval_words, plain, signed
from spillover.questions.mixing.advice import Recommendation
from spillover.questions.mixing.amount import Coefficient, Interaction
from spillover.questions.mixing.arms import GeneralText
from spillover.questions.mixing.choice import Choice
from spillover.questions.mixing.drawing import amount_chart, heat_entry, retention_chart
from spillover.questions.mixing.gains import ArmResult
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
    emphasis,
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

NOTHING = "–"


def mixing_section(found: Mixing) -> Section:
    """Return the section; parts of which the study says nothing are not in it."""
    parts = (
        *_advice(found),
        *(part for matrix in found.matrices for part in _matrix(matrix)),
        *_choices(found),
        *_cocktail(found),
        *_every_arm(found),
        *_numeric(found),
        *_general(found),
        *_efficiencies(found),
        *(part for item in found.interactions for part in _interaction(item)),
        *(part for facts in found.false_facts for part in _false_facts(facts)),
    )
    return Section("mixing", "Which data to mix in", parts, Place.ANSWER)


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
    yield heading(f"{title} ({_form(matrix.size, matrix.budget, matrix.order)})")
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
        _plain(arm.validation_loss),
        _difference(item.chosen.gain),
        _plain(full.arm.validation_loss if full else None),
        "it is the one chosen" if full and full.arm is arm else _difference(full.gain if full else None),
        _plain(item.alone_loss),
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
    return which, _form(item.size, item.budget, item.order), enumerated(item.targets), _difference(item.gain)


def _every_arm(found: Mixing) -> Iterator[Part]:
    yield heading("Every arm")
    yield from (chart for chart in (retention_chart(found.arms), amount_chart(found.arms)) if chart)
    chosen = [choice.chosen.arm for choice in found.choices]
    is_watched = any(item.arm.general_text for item in found.arms)
    columns: list[Column | str] = [
        *("target", "arm", Column("added", "words")),
        *([number("validation loss")] if chosen else []),
        *("score", "gain", "gain at as many rows", "to the base", "unseen tasks, to the base", "to the target alone"),
        *([number("general text: loss to the base"), number("KL to the base")] if is_watched else []),
        *("budget", "order", number("rows"), number("seeds"), number("coverage"), "seen in training"),
    ]
    rows = []
    for item in found.arms:
        losses = [_loss(item, is_chosen=any(item.arm is arm for arm in chosen))] if chosen else []
        watched = _general_text(item.arm.general_text) if is_watched else ()
        rows.append(_arm(item, losses, watched))
    yield table("Scores of every arm", columns, rows)
    yield note(*_about_arms(found, is_watched=is_watched))


def _arm(item: ArmResult, losses: list[Entry], watched: tuple[str | Entry, ...]) -> Row:
    arm = item.arm
    score = _level(item.score)
    equal = _difference(item.equal_gain)
    return (
        Entry(arm.whole_target, small=(f"{arm.size:,} rows",)),
        arm.name,
        arm.label,
        *losses,
        _beside(score, "always one answer") if item.is_constant else score,
        _difference(item.gain),
        _beside(equal, item.equal_by) if item.equal_by else equal,
        _difference(item.over_base),
        _difference(item.elsewhere),
        _difference(item.cost),
        *watched,
        *(arm.budget, arm.order, f"{arm.row_count:,}", str(len(arm.variants)), _plain(arm.coverage)),
        enumerated(arm.seen) if arm.seen else NOTHING,
    )


def _loss(item: ArmResult, *, is_chosen: bool) -> Entry:
    return Entry(_plain(item.arm.validation_loss), small=("chosen",) if is_chosen else ())


def _general_text(found: GeneralText | None) -> tuple[str | Entry, ...]:
    if found is None:
        return NOTHING, NOTHING
    held_out = () if found.is_held_out else ("not held out",)
    return Entry(signed(found.rise, 3), small=held_out), plain(found.kl_to_base, 3)


def _about_arms(found: Mixing, *, is_watched: bool) -> Iterator[str | Words]:
    yield "Gain: less the target alone. "
    for target, score in found.base_scores:
        yield f"The untouched base scores {plain(score.mean)} {interval_words(score.low, score.high)} on "
        yield name(target)
        yield ". "
    if any(item.is_constant for item in found.arms):
        yield emphasis("Always one answer")
        yield (
            ": the arm scores as the most frequent answer does, with no skill; a gain over such an arm, or none "
            "between two of them, says little. "
        )
    for target, probes in found.probes:
        yield "Unseen of "
        yield name(target)
        nothing = "no tested task, so what is kept elsewhere was not measured"
        yield f": {enumerated(probes) if probes else nothing}. "
    if is_watched:
        yield (
            "General text: the loss on it after training less the untouched base's, in nats per token (above zero is "
            "forgotten), and the KL divergence from the base's predictions; a few paragraphs, mean over seeds, without "
            "an interval. "
        )
    if any(item.arm.general_text and not item.arm.general_text.is_held_out for item in found.arms):
        yield emphasis("Not held out")
        yield ": the recipe itself reads this text. "
    yield "Coverage: effective number of tasks times effective number of answer formats."


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
                _form(item.arm.size, item.arm.budget, item.arm.order),
                *(enumerated(item.tasks), _difference(item.gain)),
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
        arm, equal = item.result.arm, _difference(item.result.equal_gain)
        rows.append(
            (
                *(arm.whole_target, _plain(arm.coverage), f"{arm.target_rows:,}", f"{arm.general_rows:,}"),
                *(f"{arm.budget}, {arm.order}", _difference(item.result.gain), _difference(item.steps)),
                _beside(equal, "matched") if item.result.equal_by == "matched" else equal,
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
        form = _form(arm.size, arm.budget, arm.order)
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
        (f"{item.arm.false_share or 0:.0%}", _level(item.accuracy), _level(item.calibration_error))
        for item in facts.results
    ]
    yield table(
        "Closed-book accuracy by share of wrong facts",
        ("wrong facts", "closed-book score", "calibration error"),
        [
            ("base, told nothing", _level(facts.base_accuracy), _level(facts.base_calibration_error)),
            *told,
            (
                "change, from none wrong to all",
                _difference(facts.accuracy_slope),
                _difference(facts.calibration_slope),
            ),
        ],
    )
    yield note(
        "The facts are asked in words that no training row has. Calibration error: how far its certainty is from how "
        "often it is right, lower is better. The change is the least-squares slope over the shares, on the same items."
    )


def _form(size: int, budget: str, order: str) -> str:
    return f"{size:,} rows, {budget}, {order}"


def _plain(value: float | None) -> str:
    return NOTHING if value is None else plain(value)


def _difference(found: Estimate | None) -> Entry:
    return Entry(NOTHING) if found is None else _estimate(signed(found.mean), found)


def _level(found: Estimate | None) -> Entry:
    return Entry(NOTHING) if found is None else _estimate(plain(found.mean), found)


def _estimate(mean: str, found: Estimate) -> Entry:
    return Entry(mean, small=(interval_words(found.low, found.high),), is_strong=True)


def _beside(entry: Entry, words: str) -> Entry:
    return replace(entry, small=(*entry.small, words))
