"""The part of the section on mixing that shows every arm: its charts and the table that holds their numbers."""

from __future__ import annotations

from collections.abc import Iterator

from spillover.analysis.wording import enumerated, interval_words, plain, signed
from spillover.questions.mixing.arms import GeneralText
from spillover.questions.mixing.drawing import amount_chart, retention_chart
from spillover.questions.mixing.entries import NOTHING, beside, difference, known, level
from spillover.questions.mixing.gains import ArmResult
from spillover.questions.mixing.mixing import Mixing
from spillover.report.section import Column, Entry, Part, Row, Words, emphasis, heading, name, note, number, table


def every_arm(found: Mixing) -> Iterator[Part]:
    """Yield the charts of all arms, and the table that holds their numbers."""
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
    own = level(item.score)
    equal = difference(item.equal_gain)
    return (
        Entry(arm.whole_target, small=(f"{arm.size:,} rows",)),
        arm.name,
        arm.label,
        *losses,
        beside(own, "always one answer") if item.is_constant else own,
        difference(item.gain),
        beside(equal, item.equal_by) if item.equal_by else equal,
        difference(item.over_base),
        difference(item.elsewhere),
        difference(item.cost),
        *watched,
        *(arm.budget, arm.order, f"{arm.row_count:,}", str(len(arm.variants)), known(arm.coverage)),
        enumerated(arm.seen) if arm.seen else NOTHING,
    )


def _loss(item: ArmResult, *, is_chosen: bool) -> Entry:
    return Entry(known(item.arm.validation_loss), small=("chosen",) if is_chosen else ())


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
