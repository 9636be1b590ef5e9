"""What designs of mixtures have in common: their settings, and how an arm becomes a variant of the study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from spillover.questions.mixing.arm import PlannedArm
from spillover.settings import EACH_ONCE, ONE_OR_MORE, Settings
from spillover.steps.validate import FEWEST
from spillover.study.design import Designed
from spillover.study.study_file import VariantEntry
from spillover.tasks.mixture import Member, Mixture, Order
from spillover.training.settings import Recipe

FIXED = frozenset({"alone", "all", "general-alone", "extra-steps"})
"""Kinds of arms that no budget drops: what others are compared with, and the mix named before any result was seen."""
UNVALIDATED = frozenset({"general-alone", "extra-steps"})
"""Kinds of arms that nobody could choose, so that no validation rows measure them."""

Tasks = Annotated[tuple[str, ...], ONE_OR_MORE]
Sizes = Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1), ONE_OR_MORE, EACH_ONCE]


class Design(Settings):
    """A design of mixtures, whose arms become variants."""

    general: Tasks = ()
    """General instruction data."""
    by: Literal["examples", "tokens"] = "examples"
    order: Annotated[tuple[Order, ...], Field(min_length=1), ONE_OR_MORE, EACH_ONCE] = ("joint",)
    validation: int = Field(default=0, ge=0)
    """Rows of each target, tested in no cell and trained on by no arm of the study, on which the arms are compared, so
    that the report says which is chosen without its test score; 0 does not."""
    recipe: Recipe = Recipe()
    training: dict[str, object] = {}
    """Training settings that differ from the study's."""
    name: str = Field(default="", pattern=r"^[\w.+-]*$")
    """Begins the names of the arms, where several designs have the same targets."""

    @field_validator("validation")
    @classmethod
    def _enough_to_choose(cls, value: int) -> int:
        if 0 < value < FEWEST:
            raise ValueError(f"fewer than {FEWEST} rows choose by luck; name more, or 0")
        return value

    def expand(self) -> Iterator[Designed]:
        """Yield every arm."""
        raise NotImplementedError

    def _arm(self, name: str, mixture: Mixture, size: int, *, target: str, kind: str, **facts: Any) -> Designed:
        """Return an arm of a mixture of so many rows of its own target; ``facts`` are those of `PlannedArm`."""
        return Designed(
            entry=VariantEntry(
                name=f"{self.name}.{name}" if self.name else name,
                train_on=(mixture,),
                sizes=(size,),
                recipe=self.recipe,
                training=self.training,
            ),
            part=PlannedArm(
                level=None if kind in FIXED else (target, size, facts.get("specialist_rows")),
                is_control=kind in UNVALIDATED,
                validation_row_count=self.validation,
                target=target,
                kind=kind,
                **facts,
            ),
        )

    def _mixture(self, target: str, added: Sequence[Member], **settings: object) -> Mixture:
        data = {"target": target, "with": added, **({"by": self.by, **settings} if added else {})}
        return Mixture.model_validate(data)


def name_of(arm: str, budget: str, order: str) -> str:
    """Return the name of an arm in one of its forms."""
    return arm + ("-matched" if budget == "matched" else "") + ("-sequential" if order == "sequential" else "")


def check_once(names: Sequence[str]) -> None:
    """Raise ValueError where a task plays two parts."""
    if repeated := [name for index, name in enumerate(names) if name in names[:index]]:
        raise ValueError(f"{repeated[0]!r} is named twice; a task is target, other, general or mathematics")
