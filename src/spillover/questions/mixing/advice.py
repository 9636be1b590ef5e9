"""What to add to a target, in words, by a rule over intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from spillover.analysis.wording import interval_words, signed
from spillover.questions.mixing.arms import Arm, ArmScores
from spillover.questions.mixing.chosen import Choice, chosen, settings_of
from spillover.questions.mixing.gains import ArmResult
from spillover.statistics.contrasts import Estimate

Confidence = Literal["high", "moderate", "low", "none"]

LEAST_SEED_COUNT = 3
"""Training seeds from which on their agreement says something: two agree by chance every second time."""

RULE = (
    "Each arm that adds something is compared with the target alone, in its additive form where it has one. With m "
    "arms the intervals are widened to a level of 1 − (1 − level) / m, lest the best of many be taken by chance; "
    "an arm chosen on validation rows, by the lowest loss on its target, is compared alone. An arm is recommended "
    "when its whole interval lies above zero, of several the one whose lower end is highest; where there is none, "
    "nothing helps clearly."
)
CONFIDENCE_RULE = (
    "An addition also means more steps: the confidence is low while a gain at as many training rows was not measured "
    "or is not clear, moderate when that gain is clear too, and high when, besides, at least "
    f"{LEAST_SEED_COUNT} training seeds all gain."
)


_CLOSED_BOOK = (
    "; the facts it asks for are not in the prompt: wrong ones in general data would lower it, so check what is added"
)
_CONSTANT = "; trained alone it always gives one answer, so that a gain over it is no skill by itself"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to add to one target."""

    target: str
    size: int
    added: str
    """Empty where nothing helps clearly."""
    confidence: Confidence
    arm_count: int
    """Arms compared."""
    gain: Estimate | None
    """Of what is recommended, with the widened interval."""
    sentence: str
    also_clear: tuple[str, ...]
    """What else helps clearly."""
    clearly_worse: tuple[str, ...]
    """What lowers the score on the target clearly, with its widened interval."""


def recommendations(scores: ArmScores, results: Sequence[ArmResult]) -> tuple[Recommendation, ...]:
    """Return one recommendation per target and size, see `RULE`."""
    found = []
    for own in settings_of(results):
        lone = [item for item in results if item.arm.kind == "alone" and item.arm.setting == own[0].arm.setting]
        constant = any(item.is_constant for item in lone)
        item = _recommendation(own, chosen(own, results), scores)
        warned = scores.tasks[own[0].arm.target].is_closed_book and any(one.arm.general for one in own)
        warnings = (_CONSTANT if constant else "") + (_CLOSED_BOOK if warned else "")
        found.append(replace(item, sentence=item.sentence + warnings))
    return tuple(found)


def _recommendation(own: Sequence[ArmResult], choice: Choice | None, scores: ArmScores) -> Recommendation:
    compared = [choice.chosen] if choice else own
    arm = compared[0].arm
    level = 1 - (1 - scores.level) / len(compared)
    alone = scores.alone(arm)
    differences = [(item, scores.less(item.arm, alone, [arm.target], level=level)) for item in compared]
    gains = [(item, gain) for item, gain in differences if gain is not None]
    helping = sorted((pair for pair in gains if pair[1].is_above_zero), key=lambda pair: -(pair[1].low or 0))
    worse = tuple(f"{item.arm.label} ({_numbers(gain)})" for item, gain in gains if gain.is_below_zero)
    best, gain = helping[0] if helping else gains[0]
    how = f"{best.arm.label}, chosen on validation rows" if choice else best.arm.label
    if helping:
        text = _text_words(best.arm, alone) if alone else ""
        sentence = f"add {how}: {_numbers(gain)} on {arm.whole_target}, {_cost_words(best.cost)}{text}; "
        sentence += f"{_equal_words(best)}{_base_words(best)}"
    elif choice:
        sentence = f"nothing helps {arm.whole_target} clearly: {how}, gives {_numbers(gain)}"
    else:
        sentence = f"nothing helps {arm.whole_target} clearly{_remaining_words(gains)}"
    return Recommendation(
        target=arm.whole_target,
        size=arm.size,
        added=best.arm.label if helping else "",
        confidence=_confidence(best) if helping else "none",
        arm_count=len(gains),
        gain=gain if helping else None,
        sentence=sentence + (_beside(choice) if choice else ""),
        also_clear=tuple(item.arm.label for item, _ in helping[1:]),
        clearly_worse=worse,
    )


def _beside(choice: Choice) -> str:
    """Say what the mix that was fixed beforehand gives, and whether validation would rather add nothing."""
    words = ""
    if choice.full is choice.chosen:
        words = "; that is all tasks, the mix fixed beforehand"
    elif choice.full and choice.full.gain:
        words = f"; all tasks, the mix fixed beforehand, give {_numbers(choice.full.gain)}"
    prefers_alone = "; on validation rows the target alone is better still"
    return words + (prefers_alone if choice.is_worth_adding is False else "")


def _confidence(result: ArmResult) -> Confidence:
    if result.equal_gain is None or not result.equal_gain.is_above_zero:
        return "low"
    agree = len(result.seed_gains) >= LEAST_SEED_COUNT and all(gain > 0 for gain in result.seed_gains)
    return "high" if agree else "moderate"


def _base_words(result: ArmResult) -> str:
    """Say it where the mixture is not clearly better than no training at all."""
    if result.over_base.is_above_zero:
        return ""
    return f"; over the untouched base {_numbers(result.over_base)}, which is not clear"


def _remaining_words(gains: Sequence[tuple[ArmResult, Estimate]]) -> str:
    bounds = [(gain.high, item.arm.label) for item, gain in gains if gain.high is not None]
    if len(bounds) < len(gains):
        return ": too few items, or too few that differ, to say what remains possible"
    most, label = max(bounds)
    return f": the most that remains possible is {signed(most)}, from {label}" if most > 0 else ""


def _cost_words(cost: Estimate | None) -> str:
    if cost is None:
        return "and what it costs elsewhere was not measured"
    if cost.low is None:
        return f"and what it costs elsewhere is not known ({_numbers(cost)} on tasks not seen)"
    if cost.is_below_zero:
        return f"costs {_numbers(cost)} on tasks not seen"
    if cost.is_above_zero:
        return f"and keeps more elsewhere ({_numbers(cost)} on tasks not seen)"
    return f"costs nothing measurable elsewhere ({_numbers(cost)} on tasks not seen)"


def _text_words(arm: Arm, alone: Arm) -> str:
    """Say what the training did to general text, where that was watched and held out."""
    own, less = arm.general_text, alone.general_text
    if own is None or less is None or not (own.is_held_out and less.is_held_out):
        return ""
    return (
        f"; its loss on general text changes by {signed(own.rise, 3)} nats a token, that of the target alone by "
        f"{signed(less.rise, 3)}"
    )


def _equal_words(result: ArmResult) -> str:
    if result.equal_gain is None:
        return "no arm had as many rows without it, so more steps may explain the gain"
    numbers = _numbers(result.equal_gain)
    if result.equal_gain.is_above_zero:
        return f"at as many rows still {numbers}"
    return f"at as many rows {numbers}, so more steps may explain the gain"


def _numbers(estimate: Estimate) -> str:
    return f"{signed(estimate.mean)} {interval_words(estimate.low, estimate.high)}"
