"""Every arm of a mixing study against the target alone: what it gains, at as many rows too, and what it costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from spillover.questions.mixing.arms import Arm, ArmScores
from spillover.statistics.contrasts import Estimate

SAME_AMOUNT = 0.02
"""Relative difference of row counts up to which two arms count as trained on as many; counts are rounded."""


@dataclass(frozen=True, slots=True)
class ArmResult:
    """An arm and its differences; None where the study has nothing to take them from."""

    arm: Arm
    score: Estimate
    """On the target."""
    over_base: Estimate
    """On the target, less the base: a gain over a target alone that lost to the base may be none."""
    is_constant: bool
    """Whether it always gives the same answer on the target, as far as accuracy and MCC tell."""
    gain: Estimate | None
    """On the target, less the target alone."""
    seed_gains: tuple[float, ...]
    """The same for each training seed."""
    equal_gain: Estimate | None
    """On the target, at as many training rows, see `equal_by`."""
    equal_by: str
    """``extra-steps`` less the target alone repeated to the arm's rows, ``matched`` for the arm cut to the target's."""
    elsewhere: Estimate | None
    """Mean over the tasks that no arm of the target has seen, less the base: retention."""
    cost: Estimate | None
    """The same less the target alone."""


def arm_results(scores: ArmScores) -> tuple[ArmResult, ...]:
    """Return every arm whose target was tested."""
    found = []
    for arm in scores.arms:
        score, over_base = scores.score(arm, arm.target), scores.less(arm, None, [arm.target])
        if score is not None and over_base is not None:
            found.append(_result(arm, score, over_base, scores))
    return tuple(found)


def _result(arm: Arm, score: Estimate, over_base: Estimate, scores: ArmScores) -> ArmResult:
    alone, probes = scores.alone(arm), scores.probes(arm)
    is_constant = _is_constant(arm, scores)
    if alone is None or arm.kind == "alone":
        elsewhere = scores.less(arm, None, probes)
        return ArmResult(arm, score, over_base, is_constant, None, (), None, "", elsewhere, None)
    equal_gain, equal_by = equal_row_gain(arm, alone, scores)
    seeds = [seed for seed in arm.variants if seed in alone.variants]
    return ArmResult(
        arm=arm,
        score=score,
        over_base=over_base,
        is_constant=is_constant,
        gain=scores.less(arm, alone, [arm.target]),
        seed_gains=tuple(_seed_gain(arm, alone, seed, scores) for seed in seeds),
        equal_gain=equal_gain,
        equal_by=equal_by,
        elsewhere=scores.less(arm, None, probes),
        cost=scores.less(arm, alone, probes),
    )


def _is_constant(arm: Arm, scores: ArmScores) -> bool:
    """Return whether every cell has the accuracy of always giving the most frequent answer, and an MCC of zero."""
    majority = scores.tasks[arm.target].majority_accuracy
    found = {
        metric: [scores.value(key) for id_ in arm.variants.values() for key in scores.keys(id_, [arm.target], metric)]
        for metric in ("accuracy", "mcc")
    }
    if majority is None or not all(found.values()):
        return False
    return all(math.isclose(value, majority) for value in found["accuracy"]) and all(
        abs(value) < 1e-9 for value in found["mcc"]
    )


def _seed_gain(arm: Arm, alone: Arm, seed: int, scores: ArmScores) -> float:
    pairs = zip(*(scores.keys(one.variants[seed], [arm.target]) for one in (arm, alone)), strict=True)
    differences = [scores.value(key) - scores.value(reference) for key, reference in pairs]
    return sum(differences) / len(differences)


def equal_row_gain(arm: Arm, alone: Arm, scores: ArmScores) -> tuple[Estimate | None, str]:
    """Return the gain that more training rows cannot explain, and what makes the rows equal."""
    if arm.budget == "matched":
        return scores.less(arm, alone, [arm.target]), "matched"
    for control in scores.arms:
        if control.kind == "extra-steps" and control.setting == arm.setting and same_rows(control, arm):
            return scores.less(arm, control, [arm.target]), "extra-steps"
    twins = [twin for twin in scores.arms if twin.budget == "matched" and twin.content == arm.content]
    # Several amounts of general data are named alike in both forms; of a single amount there is one twin.
    twins = [twin for twin in twins if twin.general_rows == arm.general_rows] or twins
    return (scores.less(twins[0], alone, [arm.target]), "matched") if len(twins) == 1 else (None, "")


@dataclass(frozen=True, slots=True)
class GeneralGain:
    """What general data does to a specialist, beside what as many steps without it do."""

    result: ArmResult
    steps: Estimate | None
    """Of the control that repeats the specialist's rows to as many, less the target alone."""


def general_gains(results: Sequence[ArmResult]) -> tuple[GeneralGain, ...]:
    """Return every arm of general data, in the order of coverage, specialist rows and general rows."""
    found = []
    for item in results:
        if item.arm.kind != "target+general" or item.gain is None:
            continue
        controls = [
            other.gain
            for other in results
            if other.arm.kind == "extra-steps"
            and other.arm.setting == item.arm.setting
            and same_rows(other.arm, item.arm)
        ]
        found.append(GeneralGain(item, controls[0] if controls else None))
    return tuple(sorted(found, key=lambda one: _place(one.result.arm)))


def _place(arm: Arm) -> tuple[float, str, int, int]:
    return (arm.coverage or 0.0, arm.whole_target, arm.target_rows, arm.general_rows)


def same_rows(one: Arm, other: Arm) -> bool:
    """Return whether two arms count as trained on as many rows."""
    return abs(one.row_count - other.row_count) <= SAME_AMOUNT * other.row_count
