"""The cells of a study by name: ``variant:task:shots``, then the prompt form and the demonstration seed."""

from collections.abc import Callable, Sequence

from spillover.errors import UserError, unknown_name
from spillover.records import BASE, Cell
from spillover.steps.cell_steps import ScoreCell
from spillover.study.study import Study

PARTS: tuple[tuple[str, Callable[[Cell], str]], ...] = (
    ("tested task", lambda cell: cell.tested_on),
    ("shot count", lambda cell: str(cell.shots)),
    ("prompt form", lambda cell: str(cell.prompt_form)),
    ("demonstration seed", lambda cell: str(cell.demonstration_seed)),
    ("ask", lambda cell: cell.ask),
)
"""What follows the variant in a cell's name."""


def cell_name(study: Study, step: ScoreCell) -> str:
    """Return the name by which `find_score` finds a step: as short as the study allows."""
    cell = step.predictions.cell
    parts = [step.predictions.model, cell.tested_on, str(cell.shots)]
    if cell.ask != study.ask:
        parts += [str(cell.prompt_form), str(cell.demonstration_seed), cell.ask]
    elif len(study.demonstration_seeds) > 1:
        parts += [str(cell.prompt_form), str(cell.demonstration_seed)]
    elif len(study.prompt_forms) > 1:
        parts.append(str(cell.prompt_form))
    return ":".join(parts)


def variant_id(study: Study, name: str) -> str:
    """Return the id that a name stands for: an id itself, or how ids begin, such as a recipe's name, where one does.

    Raises:
        UserError: On an unknown name, with the nearest known ones, or on one that several variants have.
    """
    known = [BASE, *(step.variant for step in study.models)]
    if name in known:
        return name
    ids = [variant for variant in known if variant.startswith(f"{name}/")]
    if len(ids) > 1:
        raise UserError(f"{len(ids)} variants are named {name!r}; take one of: {', '.join(ids)}")
    if not ids:
        raise unknown_name("variant of the study", name, {*known, *(step.name for step in study.models)})
    return ids[0]


def find_score(study: Study, name: str) -> ScoreCell:
    """Return the step that scores a named model in a cell.

    Parts at the end of the name may be left out where only one cell is left; the variant is named as in `variant_id`.

    Raises:
        UserError: On an unknown part, with the nearest known ones, or on a name that several cells have.
    """
    name_of_variant, *parts = name.split(":")
    variant = variant_id(study, name_of_variant)
    asked = (*study.scores, *study.asked_otherwise) if len(parts) == len(PARTS) else study.scores
    found = [step for step in asked if step.predictions.model == variant]
    if len(parts) > len(PARTS):
        raise UserError(f"cell {name!r} has {len(parts) + 1} parts; expected {_SYNTAX}")
    for given, (what, part) in zip(parts, PARTS, strict=False):
        known = {part(step.predictions.cell) for step in found}
        found = [step for step in found if part(step.predictions.cell) == given]
        if not found:
            raise unknown_name(what, given, known)
    if len(found) > 1:
        raise UserError(f"{len(found)} cells are named {name!r}; go on with one of: {_listed(study, found)}")
    return found[0]


def base_of(study: Study, step: ScoreCell) -> ScoreCell:
    """Return the step that scores the base in the same cell."""
    return next(
        other
        for other in (*study.scores, *study.asked_otherwise)
        if other.predictions.variant is None and other.predictions.cell == step.predictions.cell
    )


def _listed(study: Study, steps: Sequence[ScoreCell]) -> str:
    shown = [cell_name(study, step) for step in steps[:8]]
    return ", ".join(shown) + (f" and {len(steps) - len(shown)} more" if len(steps) > len(shown) else "")


_SYNTAX = "variant:task:shots[:form[:demonstration_seed[:ask]]]"
