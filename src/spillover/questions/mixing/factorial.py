"""The design that asks whether general data helps a specialist: coverage, specialist rows, general rows and order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Annotated, Self

from pydantic import Field, model_validator

from spillover.questions.mixing.design import Design, Sizes, Tasks, check_once, name_of
from spillover.settings import EACH_ONCE, ONE_OR_MORE
from spillover.study.design import Designed
from spillover.tasks.mixture import Budget, Member, Order

IF_FEWER = "lower general_rows or specialist_rows, or name more tasks"
"""An arm states its amounts, so that a source which has fewer rows is refused."""


class Factorial(Design):
    """Whether general data helps a specialist: coverage x specialist rows x general rows x order.

    The targets vary coverage: one task is narrow, a list of tasks is broader (sheet specialist-generalist, 2.1).
    """

    targets: Annotated[tuple[Annotated[Tasks, Field(min_length=1)], ...], Field(min_length=1), ONE_OR_MORE, EACH_ONCE]
    """Each a task or a list of tasks, whose first is tested in-domain; the rows are divided among them."""
    specialist_rows: Sizes
    """Training rows of all the target's tasks together."""
    general_rows: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), ONE_OR_MORE, EACH_ONCE]
    general: Annotated[Tasks, Field(min_length=1)]
    budgets: Annotated[tuple[Budget, ...], Field(min_length=1), ONE_OR_MORE, EACH_ONCE] = ("additive",)
    """``steps`` trains without general data for as many rows, and so optimizer steps, as with it, joint."""
    general_alone: bool = False
    """Whether the general data alone is trained on too: a floor, as the untouched base is."""

    @model_validator(mode="after")
    def _plays_one_part(self) -> Self:
        for group in self.targets:
            check_once((*group, *self.general))
            if (fewest := min(self.specialist_rows)) < len(group):
                raise ValueError(
                    f"specialist_rows is {fewest}, fewer than the {len(group)} tasks of a target; raise it"
                )
        if not any(self.general_rows):
            raise ValueError("general_rows is 0 alone, so nothing is compared; name an amount beside it")
        return self

    def expand(self) -> Iterator[Designed]:
        """Yield every combination; without general rows there is one arm, whatever the order and the budget."""
        for group, rows, general_rows in product(self.targets, self.specialist_rows, self.general_rows):
            if not general_rows:
                yield self._combined(group, rows, 0, "joint", "additive")
                continue
            for budget in self.budgets:
                for order in ("joint",) if budget == "steps" else self.order:
                    yield self._combined(group, rows, general_rows, order, budget)
        if self.general_alone:
            targets = dict.fromkeys(group[0] for group in self.targets)
            for target, general_rows in product(targets, self.general_rows):
                if general_rows:
                    yield self._without_target(target, general_rows)

    def _without_target(self, target: str, general_rows: int) -> Designed:
        """Return the general data alone; one arm for each target, although they are one training."""
        first, *others = self._general_members(general_rows)
        assert first.cap
        return self._arm(
            f"general-alone-{general_rows}-for-{target}",
            self._mixture(first.task, others),
            first.cap,
            target=target,
            kind="general-alone",
            general=(first.task, *(member.task for member in others)),
            specialist_rows=0,
            general_rows=general_rows,
            if_fewer=IF_FEWER,
        )

    def _general_members(self, general_rows: int) -> list[Member]:
        amounts = zip(self.general, _divided(general_rows, len(self.general)), strict=True)
        return [Member(task=name, cap=count, general=True) for name, count in amounts if count]

    def _combined(self, group: tuple[str, ...], rows: int, general_rows: int, order: Order, budget: Budget) -> Designed:
        target, *beside = group
        own, *others = _divided(rows, len(group))
        added = [Member(task=name, cap=count) for name, count in zip(beside, others, strict=True)]
        general = self._general_members(general_rows)
        kind = "alone" if not general_rows else "extra-steps" if budget == "steps" else "target+general"
        name = {"alone": "alone", "extra-steps": f"extra-steps-{general_rows}"}.get(kind, f"general-{general_rows}")
        mixed: dict[str, object] = {"order": order, "budget": budget}
        if budget == "steps" and added:
            mixed["repeats"] = "specialist"
        prefix = f"{'+'.join(group)}." if beside else ""
        return self._arm(
            prefix + name_of(name, budget, order),
            self._mixture(target, [*added, *general], **mixed),
            own,
            target=target,
            kind=kind,
            added=tuple(beside),
            general=tuple(member.task for member in general),
            budget=budget,
            order=order,
            specialist_rows=rows,
            general_rows=general_rows,
            if_fewer=IF_FEWER,
        )


def _divided(total: int, count: int) -> list[int]:
    return [total // count + (index < total % count) for index in range(count)]
