"""The keys of a study file that ask more of receipts: a cascade, and what the model says of a verdict it was shown."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from spillover.settings import EACH_ONCE, ONE_OR_MORE, Settings
from spillover.tasks.ask import EVERYWHERE, Only

About = Literal["influence", "features", "example", "override"]
"""What a model is asked of an answer it gave beside a receipt (sheet supercontext, 2.1)."""
ABOUT: tuple[About, ...] = get_args(About)


class Interpret(Settings):
    """What a model is asked after its answers in the cells of an ask with receipts."""

    shorthand: ClassVar[str] = "ask"
    ask: str
    """An ask that shows receipts beside the items."""
    about: Annotated[tuple[About, ...], Field(min_length=1), ONE_OR_MORE, EACH_ONCE] = ABOUT
    """How far the verdict influenced it, which words decided, which example mattered most, why it overrode."""
    items: int = Field(default=50, ge=1)
    """The first so many items of a cell."""
    only: Only = EVERYWHERE
    """The ``tasks``, ``shots`` and demonstration ``seeds`` whose cells are asked; all where nothing is said."""


class ReceiptsKeys(Settings):
    """What receipts add to a study file."""

    cascade: int = Field(default=0, ge=0)
    """Validation rows a cell, by which it is chosen how sure a classifier has to be to answer in place of the model."""
    interpret: Annotated[tuple[Interpret, ...], ONE_OR_MORE] = ()
    """What models are asked of the verdicts they were shown."""
