"""The report's tables as plain rows: the matrix of differences, other metrics of choices, provenance."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from spillover.analysis.analysis import Analysis
from spillover.analysis.power import limits
from spillover.analysis.wording import interval_words, named, plain, signed
from spillover.questions.generalization.verdicts import LABEL_SHARE
from spillover.records import (
    BASE,
    Cell,
    FlipFloor,
    Measurement,
    MetricCard,
    Relation,
    StudyResults,
    TaskCard,
)

TINTS = (0.02, 0.05, 0.1, 0.2)
"""Sizes of a difference, in shares, from which a cell of the matrix takes the next stronger tint."""


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """A variant's difference to the base in one cell."""

    difference: str
    interval: str
    title: str
    tint: str
    """``flat``, ``up1`` .. ``up4`` (better) or ``down1`` .. ``down4`` (worse)."""
    is_clear: bool
    """True when the difference is significant after Holm's adjustment over the matrix."""


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """A tested cell: what the base scored and how the variants differ from it."""

    tested_on: str
    task: int
    """Position of the tested task in the study."""
    shots: int
    condition: str
    metric: str
    item_count: int
    base_score: str
    majority: str
    cells: tuple[MatrixCell, ...]


@dataclass(frozen=True, slots=True)
class MatrixGroup:
    """The rows of one relation."""

    relation: Relation
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The variants trained on one task, side by side."""

    trained_on: str
    variants: tuple[str, ...]
    models: tuple[int, ...]
    """Positions of the variants in the study."""
    groups: tuple[MatrixGroup, ...]


CHOICE_METRICS = ("macro_f1", "mcc", "ece", "brier")
"""What the report shows of choices beside accuracy, in this order."""


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """A variant's other metrics in one cell, in the order of `CHOICE_METRICS`; None where a task has not got one."""

    variant: str
    tested_on: str
    condition: str
    metrics: tuple[Measurement | None, ...]


@dataclass(frozen=True, slots=True)
class LabelShares:
    """The share of bare label words in the generations of one cell, the base's first, then the variants'."""

    tested_on: str
    condition: str
    shares: tuple[float | None, ...]


def matrices(results: StudyResults, analysis: Analysis) -> tuple[Matrix, ...]:
    """Return the differences of the primary metrics, one matrix per task trained on, rows grouped by relation."""
    primary = {task.name: task.primary_metric for task in results.tasks}
    found = {(row.variant, _cell(row)): row for row in analysis.measurements if row.metric == primary[row.tested_on]}
    cells = [cell for variant, cell in found if variant == BASE]
    conditions = condition_words(results)
    made: list[Matrix] = []
    for trained_on in dict.fromkeys(card.trained_on for card in results.variants):
        variants = tuple(card.id for card in results.variants if card.trained_on == trained_on)
        groups = []
        for relation in Relation:
            rows = tuple(
                _row(results, conditions[cell], found[BASE, cell], [found[variant, cell] for variant in variants])
                for cell in cells
                if all((variant, cell) in found for variant in variants)
                and results.relations[variants[0], cell.tested_on] == relation
            )
            if rows:
                groups.append(MatrixGroup(relation, rows))
        models = tuple(index for index, card in enumerate(results.variants) if card.trained_on == trained_on)
        made.append(Matrix(trained_on, variants, models, tuple(groups)))
    return tuple(made)


def _cell(row: Measurement) -> Cell:
    return Cell(row.tested_on, row.prompt_form, row.shots, row.demonstration_seed)


def condition_words(results: StudyResults) -> dict[Cell, str]:
    """Name each cell's shots, and its prompt form and demonstration seed where the study has several."""
    cells = list(dict.fromkeys(scores.cell for scores in results.scores))
    has_forms = len({cell.prompt_form for cell in cells}) > 1
    has_seeds = len({cell.demonstration_seed for cell in cells}) > 1
    return {
        cell: f"{cell.shots}"
        + (f", form {cell.prompt_form}" if has_forms else "")
        + (f", seed {cell.demonstration_seed}" if has_seeds else "")
        for cell in cells
    }


def _row(results: StudyResults, condition: str, base: Measurement, rows: list[Measurement]) -> MatrixRow:
    card = results.metrics[base.metric]
    task = [task.name for task in results.tasks].index(base.tested_on)
    return MatrixRow(
        tested_on=base.tested_on,
        task=task,
        shots=base.shots,
        condition=condition,
        metric=card.name,
        item_count=base.item_count,
        base_score=plain(base.value),
        majority=guessing_words(results.tasks[task]),
        cells=tuple(_matrix_cell(row, card, results.flip_floors.get((row.variant, _cell(row)))) for row in rows),
    )


def guessing_words(task: TaskCard) -> str:
    """Write what guessing scores: always the most frequent answer, or at random where each row has its own options.

    Of free text it is what one text for all items scores in the primary metric.
    """
    if task.majority_accuracy is not None:
        return plain(task.majority_accuracy)
    if task.primary_metric in task.constant_scores:
        return f"{plain(task.constant_scores[task.primary_metric])} (one text)"
    return "" if task.chance_accuracy is None else f"{plain(task.chance_accuracy)} (chance)"


def _matrix_cell(row: Measurement, metric: MetricCard, floor: FlipFloor | None) -> MatrixCell:
    size = abs(row.difference) / (100 if metric.unit == "points" else 1)
    level = sum(size >= threshold for threshold in TINTS)
    is_better = (row.difference > 0) == metric.higher_is_better
    interval = interval_words(row.low, row.high)
    own = "" if row.value_low is None else f" {interval_words(row.value_low, row.value_high)}"
    remark = f"; {row.note}" if row.note else ""
    if row.holm_p_value is not None:
        remark += f"; p = {row.p_value:.2g}, after Holm {row.holm_p_value:.2g}"
    if row.is_equivalent:
        remark += "; shown to be no different within the margin"
    return MatrixCell(
        difference=signed(row.difference),
        interval=interval,
        title=f"{plain(row.value)}{own} against {plain(row.base_value)} of the base on {row.item_count} items: "
        f"{signed(row.difference)} {interval}{remark}{'; ' + floor_words(floor) if floor else ''}",
        tint=f"{'up' if is_better else 'down'}{level}" if level else "flat",
        is_clear=row.is_clear,
    )


def floor_words(floor: FlipFloor) -> str:
    """Write how predictions compare with exact float32 arithmetic."""
    return (
        f"flip floor {floor.flipped_count} of {floor.item_count} items, log-likelihoods at most "
        f"{floor.largest_difference:.1e} nats off"
    )


def flip_floors(results: StudyResults) -> dict[str, FlipFloor]:
    """Return the flip floor of each tested task that has any, over all models and cells."""
    found: dict[str, list[FlipFloor]] = {}
    for (_, cell), floor in results.flip_floors.items():
        found.setdefault(cell.tested_on, []).append(floor)
    return {
        task: FlipFloor(
            sum(floor.item_count for floor in floors),
            sum(floor.flipped_count for floor in floors),
            max(floor.largest_difference for floor in floors),
        )
        for task, floors in found.items()
    }


def limit_words(results: StudyResults) -> str:
    """Say which tested tasks have too few independent items to ever show that less than the margin was lost."""
    units: dict[str, int] = {}
    for scores in results.scores:
        if scores.variant == BASE and results.metrics[scores.metric].unit == "share":
            names = zip(scores.groups or ("",) * len(scores.example_ids), scores.example_ids, strict=True)
            units[scores.cell.tested_on] = len({group or f"item {name}" for group, name in names})
    short = [task for task in limits(units, results.margin) if not task.can_show]
    if not short:
        return ""
    tasks = named([f"{task.name} ({task.unit_count})" for task in short], most=6)
    return (
        f"With so few independent items it cannot be shown that less than {results.margin:g} was lost, unless more is "
        f"gained than lost: {tasks}; it takes {short[0].fewest} at least, where nothing changes at all."
    )


def choice_rows(results: StudyResults, analysis: Analysis) -> tuple[ChoiceRow, ...]:
    """Return the metrics of choices beside accuracy, one row per variant and cell that has any of them."""
    found = {
        (row.variant, _cell(row), row.metric): row for row in analysis.measurements if row.metric in CHOICE_METRICS
    }
    conditions = condition_words(results)
    return tuple(
        ChoiceRow(
            variant,
            cell.tested_on,
            conditions[cell],
            tuple(found.get((variant, cell, metric)) for metric in CHOICE_METRICS),
        )
        for variant, cell in dict.fromkeys((variant, cell) for variant, cell, _ in found)
        if variant != BASE
    )


def label_shares(results: StudyResults, analysis: Analysis) -> tuple[LabelShares, ...]:
    """Return how many generations are a bare label word, per cell and model; None where a model was not scored."""
    found = {(row.variant, _cell(row)): row.value for row in analysis.measurements if row.metric == LABEL_SHARE}
    models = [BASE, *(card.id for card in results.variants)]
    conditions = condition_words(results)
    return tuple(
        LabelShares(cell.tested_on, conditions[cell], tuple(found.get((model, cell)) for model in models))
        for cell in dict.fromkeys(cell for _, cell in found)
    )


def flat_rows(facts: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested facts as rows of two texts; nested names are joined by a middle dot."""
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            yield from flat_rows(value, f"{prefix}{name} · ")
        elif isinstance(value, str):
            yield f"{prefix}{name}", value
        else:
            yield f"{prefix}{name}", json.dumps(value, default=str, ensure_ascii=False)
