"""What every change of trained weights has in common: the values it is done for, and its rule for one tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import Field

from spillover.settings import EACH_ONCE, ONE_OR_MORE, Settings

if TYPE_CHECKING:
    from torch import Tensor

    Deltas = Callable[[], Iterator[Tensor]]
    """Called, it yields w - w0 of every tensor once more."""
    Rule = Callable[[str, Tensor, Tensor], Tensor]
    """Name, w0 and w of a tensor to its new values; none of them is changed."""


Share = Annotated[float, Field(gt=0, le=1)]
Shares = Annotated[
    tuple[Share, ...],
    Field(min_length=1),
    ONE_OR_MORE,
    EACH_ONCE,
]
"""One number or several, each in 0..1 without 0."""


class Change(Settings):
    """Something done to trained weights; each value of the field ``swept`` gives a variant of its own."""

    swept: ClassVar[str]

    def points(self) -> Sequence[Self]:
        """Return the change once for every value."""
        return [self.model_copy(update={self.swept: (value,)}) for value in getattr(self, self.swept)]

    @property
    def value(self) -> float:
        """The value of a single point."""
        (value,) = getattr(self, self.swept)
        return float(value)

    @property
    def suffix(self) -> str:
        """What the point adds to a variant's name."""
        return f"{self.swept}={self.value:g}"

    @property
    def update_scale(self) -> float | None:
        """The factor of the whole update, where the change is nothing else: an adapter's update is then scaled."""
        return None

    def rule(self, deltas: Deltas) -> Rule:
        """Return how one tensor is changed."""
        raise NotImplementedError
