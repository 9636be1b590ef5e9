"""Which data to mix in: gains, pair synergy, leave-one-out, retention, numeric transfer and what wrong facts do."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from spillover.questions.mixing.advice import CONFIDENCE_RULE, RULE, Recommendation, recommendations
from spillover.questions.mixing.amount import DataEfficiency, Interaction, data_efficiencies, interactions
from spillover.questions.mixing.arms import CONTROLS, Arm, ArmScores, arms
from spillover.questions.mixing.chosen import Choice, choices
from spillover.questions.mixing.gains import ArmResult, GeneralGain, arm_results, general_gains
from spillover.records import CALIBRATION_ERROR, Relation, StudyResults
from spillover.statistics.cells import Scores
from spillover.statistics.contrasts import Contrast, Estimate, Term

NUMERIC_METRIC = "numeric_match"


@dataclass(frozen=True, slots=True)
class CocktailGain:
    """A mixture less the target alone, over all targets."""

    is_full_mix: bool
    """True for the mixture of all tasks, fixed beforehand; False for what validation rows chose."""
    size: int
    budget: str
    order: str
    targets: tuple[str, ...]
    gain: Estimate


@dataclass(frozen=True, slots=True)
class SynergyMatrix:
    """What each added task does to each target."""

    is_leave_one_out: bool
    """False: S[t, s], target and s less the target alone. True: L[t, s], all tasks less all but s (cocktail, 4)."""
    size: int
    budget: str
    order: str
    targets: tuple[str, ...]
    others: tuple[str, ...]
    entries: tuple[tuple[Estimate | None, ...], ...]
    """A row per target, a column per added task; None where the study has no such arm."""


@dataclass(frozen=True, slots=True)
class NumericTransfer:
    """What adding mathematics does to numeric tasks."""

    arm: Arm
    reference: Arm
    tasks: tuple[str, ...]
    """Numeric tasks that both arms have seen, or neither."""
    gain: Estimate


@dataclass(frozen=True, slots=True)
class FalseShareResult:
    """An arm whose general data holds wrong facts."""

    arm: Arm
    accuracy: Estimate
    calibration_error: Estimate | None


@dataclass(frozen=True, slots=True)
class FalseFacts:
    """A closed-book task against the share of wrong facts in training."""

    target: str
    size: int
    tested_on: str
    base_accuracy: Estimate | None
    """Of the untouched base, which was told nothing."""
    base_calibration_error: Estimate | None
    results: tuple[FalseShareResult, ...]
    """Of rising share."""
    accuracy_slope: Estimate | None
    """Least-squares change of the accuracy from no wrong fact to nothing but wrong facts; None for a single share."""
    calibration_slope: Estimate | None


@dataclass(frozen=True, slots=True)
class Mixing:
    """What a study says of the data to mix in."""

    rule: str
    confidence_rule: str
    recommendations: tuple[Recommendation, ...]
    arms: tuple[ArmResult, ...]
    base_scores: tuple[tuple[str, Estimate], ...]
    """Each target and what the untouched base scores on it."""
    probes: tuple[tuple[str, tuple[str, ...]], ...]
    """Each target and the tested tasks that no arm of it has seen."""
    choices: tuple[Choice, ...]
    """What validation rows chose, per target and size; empty where they were not asked."""
    cocktail_gains: tuple[CocktailGain, ...]
    matrices: tuple[SynergyMatrix, ...]
    numeric: tuple[NumericTransfer, ...]
    general: tuple[GeneralGain, ...]
    """Every arm of general data beside its control of steps."""
    efficiencies: tuple[DataEfficiency, ...]
    interactions: tuple[Interaction, ...]
    false_facts: tuple[FalseFacts, ...]


def mixing(results: StudyResults, scores: Scores, *, level: float) -> Mixing | None:
    """Return what the arms say; None where no variant has a mixture.

    Every difference is taken between variants of one training seed on the same items, resampled jointly, and averaged
    over seeds and cells. Only primary metrics that are shares enter.
    """
    found = arms(results)
    if not found:
        return None
    compared = ArmScores(results, scores, found, level=level)
    own = arm_results(compared)
    return Mixing(
        rule=RULE,
        confidence_rule=CONFIDENCE_RULE,
        recommendations=recommendations(compared, own),
        arms=own,
        base_scores=tuple(
            {arm.target: (arm.target, score) for arm in found if (score := compared.base(arm.target))}.values()
        ),
        probes=tuple({arm.target: (arm.target, compared.probes(arm)) for arm in found}.values()),
        choices=choices(own),
        cocktail_gains=_cocktail_gains(compared, {choice.chosen.arm for choice in choices(own)}),
        matrices=(*_matrices(compared, is_leave_one_out=False), *_matrices(compared, is_leave_one_out=True)),
        numeric=_numeric_transfers(compared),
        general=general_gains(own),
        efficiencies=data_efficiencies(compared),
        interactions=interactions(compared),
        false_facts=_false_facts(results, compared),
    )


def _cocktail_gains(scores: ArmScores, chosen: Set[Arm]) -> tuple[CocktailGain, ...]:
    groups: dict[tuple[bool, int, str, str], list[tuple[Arm, Arm]]] = {}
    for arm in scores.arms:
        if (alone := scores.alone(arm)) is None or arm.kind in CONTROLS:
            continue
        for is_full_mix, is_meant in ((True, arm.kind == "all"), (False, arm in chosen)):
            if is_meant:
                groups.setdefault((is_full_mix, arm.size, arm.budget, arm.order), []).append((arm, alone))
    gains = []
    for setting, pairs in groups.items():
        contrasts = [one for arm, alone in pairs for one in scores.contrasts(arm, alone, [arm.target])]
        if gain := scores.mean(contrasts):
            gains.append(CocktailGain(*setting, tuple(arm.target for arm, _ in pairs), gain))
    return tuple(gains)


def _matrices(scores: ArmScores, *, is_leave_one_out: bool) -> tuple[SynergyMatrix, ...]:
    """Return one matrix per size, budget and order."""
    groups: dict[tuple[int, str, str], dict[tuple[str, str], Estimate]] = {}
    for arm in scores.arms:
        other = _left_out(arm) if is_leave_one_out else _paired(arm)
        reference = _whole(arm, scores) if is_leave_one_out else scores.alone(arm)
        if other is None or reference is None:
            continue
        more, less = (reference, arm) if is_leave_one_out else (arm, reference)
        if found := scores.less(more, less, [arm.target]):
            groups.setdefault((arm.size, arm.budget, arm.order), {})[arm.target, other] = found
    matrices = []
    for setting, entries in groups.items():
        targets, others = (tuple(dict.fromkeys(pair[place] for pair in entries)) for place in (0, 1))
        table = tuple(tuple(entries.get((target, other)) for other in others) for target in targets)
        matrices.append(SynergyMatrix(is_leave_one_out, *setting, targets, others, table))
    return tuple(matrices)


def _paired(arm: Arm) -> str | None:
    """Return the one task that was added and nothing else."""
    is_pair = arm.kind in ("pair", "mixture") and len(arm.added) == 1 and not (arm.general or arm.mathematics)
    return arm.added[0] if is_pair else None


def _left_out(arm: Arm) -> str | None:
    return arm.left_out if arm.kind == "all-but" else None


def _whole(arm: Arm, scores: ArmScores) -> Arm | None:
    """Return the mixture of all tasks that is like the arm otherwise."""
    return _like(arm, "all", scores.arms)


def _like(arm: Arm, kind: str, others: Iterable[Arm]) -> Arm | None:
    own = (arm.setting, arm.budget, arm.order)
    return next((o for o in others if o.kind == kind and (o.setting, o.budget, o.order) == own), None)


def _numeric_transfers(scores: ArmScores) -> tuple[NumericTransfer, ...]:
    """Compare all tasks and mathematics with all tasks, and the target and mathematics with the target alone."""
    numeric = [name for name, task in scores.tasks.items() if task.primary_metric == NUMERIC_METRIC]
    found = []
    for arm in scores.arms:
        if arm.kind not in ("all+mathematics", "mathematics"):
            continue
        reference = _whole(arm, scores) if arm.kind == "all+mathematics" else scores.alone(arm)
        if reference is None:
            continue
        tasks = tuple(task for task in numeric if (task in arm.seen) == (task in reference.seen))
        if gain := scores.less(arm, reference, tasks):
            found.append(NumericTransfer(arm, reference, tasks, gain))
    return tuple(found)


def _false_facts(results: StudyResults, scores: ArmScores) -> tuple[FalseFacts, ...]:
    """Take each task of the target's own family to the arms by their share of wrong facts."""
    groups: dict[tuple[object, ...], dict[float, Arm]] = {}
    for arm in scores.arms:
        if arm.false_share is not None:
            groups.setdefault((arm.setting, arm.budget, arm.order), {})[arm.false_share] = arm
    found = []
    for by_share in groups.values():
        ordered = [by_share[share] for share in sorted(by_share)]
        for task in scores.tasks:
            related = {results.relations.get((variant, task)) for arm in ordered for variant in arm.variants.values()}
            accuracies = [(arm, scores.score(arm, task)) for arm in ordered]
            if related & {None, Relation.CROSS_TASK} or any(accuracy is None for _, accuracy in accuracies):
                continue
            rows = tuple(
                FalseShareResult(arm, accuracy, scores.score(arm, task, CALIBRATION_ERROR))
                for arm, accuracy in accuracies
                if accuracy is not None
            )
            slopes = [scores.mean(_slopes(ordered, task, scores, metric)) for metric in (None, CALIBRATION_ERROR)]
            base, base_error = scores.base(task), scores.base(task, CALIBRATION_ERROR)
            whole, size = ordered[0].whole_target, ordered[0].size
            found.append(FalseFacts(whole, size, task, base, base_error, rows, slopes[0], slopes[1]))
    return tuple(found)


def _slopes(ordered: Sequence[Arm], task: str, scores: ArmScores, metric: str | None) -> list[Contrast]:
    """Return the least-squares slope on the share of wrong facts, one contrast a seed and cell."""
    shares = [arm.false_share or 0.0 for arm in ordered]
    mean = sum(shares) / len(shares)
    spread = sum((share - mean) ** 2 for share in shares)
    if not spread:
        return []
    seeds = set.intersection(*(set(arm.variants) for arm in ordered))
    contrasts: list[Contrast] = []
    for seed in sorted(seeds):
        columns = zip(*(scores.keys(arm.variants[seed], [task], metric) for arm in ordered), strict=True)
        contrasts += [
            tuple(Term((share - mean) / spread, (key,)) for share, key in zip(shares, keys, strict=True))
            for keys in columns
        ]
    return contrasts
