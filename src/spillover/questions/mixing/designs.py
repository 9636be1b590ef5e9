"""The key `mix` of a study file: designs that ask which data to mix in, each of which becomes variants, its arms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Discriminator, Tag

from spillover.questions.mixing.cocktail import Cocktail
from spillover.questions.mixing.factorial import Factorial
from spillover.settings import ONE_OR_MORE, Settings


def _design(value: object) -> str:
    is_factorial = isinstance(value, Factorial) or (isinstance(value, Mapping) and "specialist_rows" in value)
    return "factorial" if is_factorial else "cocktail"


Mix = Annotated[Annotated[Cocktail, Tag("cocktail")] | Annotated[Factorial, Tag("factorial")], Discriminator(_design)]
"""A factorial where ``specialist_rows`` is given, else a cocktail."""


class MixKey(Settings):
    """What mixing adds to a study file."""

    mix: Annotated[tuple[Mix, ...], ONE_OR_MORE] = ()
    """Designs that ask which data to mix in; each becomes variants, its arms."""
