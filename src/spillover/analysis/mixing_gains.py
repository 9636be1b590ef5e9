"""Every arm of a mixing study against the target alone: what it gains, at as many rows too, and what it costs."""

from dataclasses import dataclass

from spillover.analysis.contrasts import Estimate
from spillover.analysis.mixing_arms import Arm, ArmScores

SAME_AMOUNT = 0.02
"""Relative difference of row counts up to which two arms count as trained on as many; counts are rounded."""


@dataclass(frozen=True, slots=True)
class ArmResult:
    """An arm and its differences; None where the study has nothing to take them from."""

    arm: Arm
    score: Estimate
    """On the target."""
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
        score = scores.score(arm, arm.target)
        if score is not None:
            found.append(_result(arm, score, scores))
    return tuple(found)


def _result(arm: Arm, score: Estimate, scores: ArmScores) -> ArmResult:
    alone, probes = scores.alone(arm), scores.probes(arm)
    if alone is None or arm.kind == "alone":
        elsewhere = scores.less(arm, None, probes)
        return ArmResult(arm, score, None, (), None, "", elsewhere, None)
    equal_gain, equal_by = equal_row_gain(arm, alone, scores)
    seeds = [seed for seed in arm.variants if seed in alone.variants]
    return ArmResult(
        arm=arm,
        score=score,
        gain=scores.less(arm, alone, [arm.target]),
        seed_gains=tuple(_seed_gain(arm, alone, seed, scores) for seed in seeds),
        equal_gain=equal_gain,
        equal_by=equal_by,
        elsewhere=scores.less(arm, None, probes),
        cost=scores.less(arm, alone, probes),
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
        is_as_much = abs(control.row_count - arm.row_count) <= SAME_AMOUNT * arm.row_count
        if control.kind == "extra-steps" and control.setting == arm.setting and is_as_much:
            return scores.less(arm, control, [arm.target]), "extra-steps"
    twins = [twin for twin in scores.arms if twin.budget == "matched" and twin.content == arm.content]
    # Several amounts of general data are named alike in both forms; of a single amount there is one twin.
    twins = [twin for twin in twins if twin.general_rows == arm.general_rows] or twins
    return (scores.less(twins[0], alone, [arm.target]), "matched") if len(twins) == 1 else (None, "")
