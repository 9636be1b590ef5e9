"""A sweep: one variant for every combination of values of a variant's own settings."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

from spillover.errors import UserError, unknown_name
from spillover.settings import parse_settings
from spillover.training.optimization import TrainingSettings
from spillover.training.settings import Recipe

SweptValue = bool | int | float | str
Sweep = Mapping[str, Sequence[SweptValue]]
"""Dotted path of a setting, such as ``training.learning_rate``, to the values it takes."""


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One combination of values."""

    name: str
    """The variant's name and each value: ``sft~learning_rate=1e-4``."""
    recipe: Recipe
    training: Mapping[str, object]
    """Training settings that differ from the study's."""


def sweep_points(
    name: str, recipe: Recipe, training: Mapping[str, object], sweep: Sweep, *, where: str
) -> list[SweepPoint]:
    """Return every combination of the swept values, the last path's values changing fastest.

    Values of what is done afterwards stay together in one recipe: they are points of one training already.

    Raises:
        UserError: If a path names no setting of the variant, is also set by hand or lies within another one, or if a
            combination makes no recipe.
    """
    settings = {"recipe": recipe.model_dump(mode="json"), "training": dict(training)}
    given = {*_paths({"recipe": recipe.model_dump(exclude_unset=True), "training": training})}
    known = {*_paths({**settings, "training": TrainingSettings().model_dump()})} - {"recipe", "training"}
    for path in sweep:
        if path not in known:
            raise UserError(f"{where}: sweep: {unknown_name('setting of the variant', path, known)}")
        if path in given:
            raise UserError(f"{where}: {path} is both set and swept; remove one of them")
    for path, inner in permutations(sweep, 2):
        if inner.startswith(f"{path}."):
            raise UserError(f"{where}: sweep: {inner} is a part of {path}; sweep one of them")
    together = {path: values for path, values in sweep.items() if path == _afterwards_path(recipe)}
    for path, values in together.items():
        _set(settings, path, list(values))
    apart = [path for path in sweep if path not in together]
    points: list[SweepPoint] = []
    for values in product(*(sweep[path] for path in apart)):
        chosen = deepcopy(settings)
        point = "~".join(
            [name, *(f"{word}={_written(value)}" for word, value in zip(_words(apart), values, strict=True))]
        )
        for path, value in zip(apart, values, strict=True):
            _set(chosen, path, value)
        own = parse_settings(Recipe, chosen["recipe"], where=f"{where}: {point}: recipe")
        points.append(SweepPoint(point, own, chosen["training"]))
    return points


def _paths(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in settings.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{name}.")


def _afterwards_path(recipe: Recipe) -> str:
    """Return the path whose values make several variants of one training; empty when nothing is done afterwards."""
    return f"recipe.afterwards.{recipe.afterwards.swept}" if recipe.afterwards.points() else ""


def _set(settings: dict[str, Any], path: str, value: object) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        settings = settings[parent]
    settings[last] = value


def _words(paths: Sequence[str]) -> list[str]:
    """Return the last word of each path; of words that come twice, the path within the recipe."""
    last = [path.rpartition(".")[2] for path in paths]
    counts = Counter(last)
    return [word if counts[word] == 1 else path.partition(".")[2] for word, path in zip(last, paths, strict=True)]


def _written(value: SweptValue) -> str:
    """Write a value for a name: small numbers as ``1e-4``."""
    if isinstance(value, bool | str):
        return str(value).lower() if isinstance(value, bool) else value
    if 0 < abs(value) < 1e-3:
        digits, exponent = f"{value:e}".split("e")
        return f"{float(digits):g}e{int(exponent)}"
    return f"{value:g}"
