"""What tables of cells share: conditions in words, and tints of differences."""

from collections.abc import Iterable

from spillover.records import Cell, Measurement, StudyResults

TINTS = (0.02, 0.05, 0.1, 0.2)
"""Sizes of a difference, in shares, from which a cell of the matrix takes the next stronger tint."""


def tint(size: float, *, is_better: bool) -> str:
    """Return the tint of a difference of a size in shares."""
    level = sum(size >= threshold for threshold in TINTS)
    return f"{'up' if is_better else 'down'}{level}" if level else "flat"


def cell_of(row: Measurement) -> Cell:
    """Return the cell that a measurement is of."""
    return Cell(row.tested_on, row.prompt_form, row.shots, row.demonstration_seed, row.ask)


def condition_words(results: StudyResults, others: Iterable[Cell] = ()) -> dict[Cell, str]:
    """Name each cell's shots, and its prompt form and demonstration seed where the study has several.

    Args:
        results: Of the study.
        others: Cells that are asked otherwise.
    """
    cells = list(dict.fromkeys([*(scores.cell for scores in results.scores), *others]))
    has_forms = len({cell.prompt_form for cell in cells}) > 1
    has_seeds = len({cell.demonstration_seed for cell in cells}) > 1
    return {
        cell: f"{cell.shots}"
        + (f", form {cell.prompt_form}" if has_forms else "")
        + (f", seed {cell.demonstration_seed}" if has_seeds else "")
        for cell in cells
    }
