"""How much target data a mixture is worth, and whether general data helps more at broad coverage or with few rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spillover.questions.mixing.arms import CONTROLS, Arm, ArmScores
from spillover.records import FloatArray
from spillover.statistics.resampled import percentile_level


@dataclass(frozen=True, slots=True)
class DataEfficiency:
    """How many times as many rows of the target alone score as much as a mixture."""

    arm: Arm
    factor: float | None
    """Smallest n' at which the target alone scores as much, over n; None where no tested size does."""
    is_bound: bool
    """Whether the smallest tested size already scores as much, so that the factor is at most this."""
    low: float | None
    """Of the interval; None where there are too few independent items for one, or all resamples need the same rows."""
    high: float | None
    """None also where the target alone does not reach the mixture."""
    smallest_rows: int
    largest_rows: int
    """Rows of the target alone that were tested."""


@dataclass(frozen=True, slots=True)
class Coefficient:
    """What a term of the regression adds to the score."""

    term: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Interaction:
    """A regression of arms' scores on log rows, coverage, general data and products (sheet specialist-generalist, 2.3).

    General data is 0 or 1, the sheet's g. Its share of the rows would fall as those of the target grow, so that a gain
    which is the same at every size would look like one that grows with them.
    """

    budget: str
    order: str
    arm_count: int
    coefficients: tuple[Coefficient, ...]
    """Empty where there are too few arms for them."""
    sentence: str


def data_efficiencies(scores: ArmScores) -> tuple[DataEfficiency, ...]:
    """Return the factor of every mixture whose target was trained alone at several sizes.

    The score of the target alone is interpolated on log n between neighbouring sizes, never beyond them (sheet
    specialist-generalist, 2.3).
    """
    found = []
    for arm in scores.arms:
        alone = scores.alone(arm)
        wanted = None if arm.kind in CONTROLS else scores.values(arm, arm.target)
        if alone is None or wanted is None:
            continue
        same = [o for o in scores.arms if o.kind == "alone" and (o.group, o.recipe) == (arm.group, arm.recipe)]
        curve = {
            other.target_rows: values
            for other in sorted(same, key=lambda other: other.target_rows)
            if other.target == arm.target and (values := scores.values(other, arm.target)) is not None
        }
        if len(curve) > 1:
            level = percentile_level(scores.unit_count(arm, arm.target), scores.level)
            found.append(_efficiency(arm, alone.target_rows, curve, wanted, level))
    return tuple(found)


def _efficiency(
    arm: Arm, rows: int, curve: dict[int, FloatArray], wanted: FloatArray, level: float | None
) -> DataEfficiency:
    sizes = list(curve)
    needed = rows_needed(sizes, np.stack(list(curve.values())), wanted) / rows
    low: float | None = None
    high: float | None = None
    if level is not None and not (np.isfinite(needed).all() and np.ptp(needed[1:]) == 0):
        # An end of the interval is one of the resamples: between a number and infinity nothing can be interpolated.
        ends = np.quantile(needed[1:], [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
        low, high = _finite(ends[0]) or sizes[-1] / rows, _finite(ends[1])
    return DataEfficiency(
        arm=arm,
        factor=_finite(needed[0]),
        is_bound=bool(curve[sizes[0]][0] >= wanted[0]),
        low=low,
        high=high,
        smallest_rows=sizes[0],
        largest_rows=sizes[-1],
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def rows_needed(sizes: Sequence[int], curve: FloatArray, wanted: FloatArray) -> FloatArray:
    """Return the smallest number of rows at which a curve reaches each wanted score; infinite where it does not.

    Args:
        sizes: Rows, rising.
        curve: Scores ``(sizes, ...)`` at them; linear in log rows between them.
        wanted: Scores ``(...)``.
    """
    needed = np.full(wanted.shape, np.inf)
    logs = np.log(sizes)
    for index in reversed(range(len(sizes) - 1)):
        lower, upper = curve[index], curve[index + 1]
        crosses = (lower < wanted) & (wanted <= upper)
        share = np.divide(wanted - lower, upper - lower, out=np.zeros_like(wanted), where=crosses)
        needed = np.where(crosses, np.exp(logs[index] + share * (logs[index + 1] - logs[index])), needed)
    return np.where(curve[0] >= wanted, float(sizes[0]), needed)


def interactions(scores: ArmScores) -> tuple[Interaction, ...]:
    """Return one regression per budget, order and recipe in which general data was mixed in."""
    general = [arm for arm in scores.arms if arm.kind == "target+general"]
    forms = dict.fromkeys((arm.budget, arm.order, arm.recipe) for arm in general)
    return tuple(one for form in forms if (one := _interaction(*form, scores)))


def _interaction(budget: str, order: str, recipe: str, scores: ArmScores) -> Interaction | None:
    """Fit the mean score of each arm; seeds are averaged, because they share their items.

    None where neither rows nor coverage vary.
    """
    own = [
        (arm, values[0])
        for arm in scores.arms
        if arm.kind == "alone" or (arm.kind, arm.budget, arm.order) == ("target+general", budget, order)
        if arm.recipe == recipe
        if arm.coverage is not None and (values := scores.values(arm, arm.target)) is not None
    ]
    arms = [arm for arm, _ in own]
    terms, fixed = _terms(arms)
    if len(terms) == 2:
        return None  # nothing to interact with
    left_out = f" Left out, because it did not vary: {', '.join(fixed)}." if fixed else ""
    if lacking := _lacking(terms, len(own)):
        sentence = f"No test of interactions: {len(own)} arms for {len(terms)} terms, and it needs {lacking}.{left_out}"
        return Interaction(budget, order, len(own), (), sentence)
    coefficients = _fitted(terms, np.array([value for _, value in own]), scores.level)
    spare = len(own) - len(terms)
    sentence = f"{len(own)} arms for {len(terms)} terms: {spare} to judge the noise by.{left_out}{_caveats(arms)}"
    return Interaction(budget, order, len(own), coefficients, sentence)


def _terms(arms: Sequence[Arm]) -> tuple[dict[str, FloatArray], list[str]]:
    """Return the columns of the regression by term, and what does not vary and so has none."""
    general = np.array([float(arm.kind == "target+general") for arm in arms])
    terms, fixed = {"constant": np.ones(len(arms)), "general data": general}, []
    varied = {
        "log rows": np.log([max(1, arm.target_rows) for arm in arms]),
        "coverage": np.array([arm.coverage for arm in arms], dtype=np.float64),
    }
    for name, column in varied.items():
        if len(arms) and np.ptp(column) > 0:
            terms |= {name: column, f"general data × {name}": general * column}
        else:
            fixed.append(name)
    return terms, fixed


def _lacking(terms: Mapping[str, FloatArray], arm_count: int) -> str:
    """Return what a regression on the terms lacks, in words; empty for nothing."""
    if arm_count <= len(terms):
        return "more arms than terms"
    rank = np.linalg.matrix_rank(np.column_stack(list(terms.values())))
    return "arms that vary each term by itself" if rank < len(terms) else ""


def _caveats(arms: Sequence[Arm]) -> str:
    words = ""
    amounts = sorted({arm.general_rows for arm in arms if arm.general_rows})
    if len(amounts) > 1:
        words += f" Amounts of general data ({', '.join(map(str, amounts))} rows) count alike."
    if len({arm.target for arm in arms}) > 1:
        words += " Arms have different targets: what differs between these counts as coverage."
    return words


def _fitted(terms: Mapping[str, FloatArray], values: FloatArray, level: float) -> tuple[Coefficient, ...]:
    """Return the least-squares coefficients with their intervals, of Student's t over the residual degrees of freedom.

    Terms ``(n,)`` are independent and fewer than n. Through their QR decomposition, R b = Qᵀ y, and the covariance of b
    is s² (RᵀR)⁻¹ (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 3.2).
    """
    from scipy.stats import t

    design = np.column_stack(list(terms.values()))
    orthogonal, upper = np.linalg.qr(design)
    inverse = np.linalg.inv(upper)
    found = inverse @ (orthogonal.T @ values)
    spare = len(values) - len(terms)
    variance = float(np.sum((values - design @ found) ** 2)) / spare
    reach = t.ppf((1 + level) / 2, spare) * np.sqrt(variance * np.sum(inverse**2, axis=1))
    return tuple(
        Coefficient(term, float(value), float(value - half), float(value + half))
        for term, value, half in zip(terms, found, reach, strict=True)
    )
