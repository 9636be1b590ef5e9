"""The design that asks which data to add to a target: alone, pairs, all, all but one, general data and mathematics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spillover.questions.mixing.arm import MIXTURE
from spillover.questions.mixing.design import Design, Sizes, Tasks, check_once, name_of
from spillover.settings import EACH_ONCE, ONE_OR_MORE
from spillover.study.design import Designed
from spillover.tasks.mixture import Budget, Member, Order

ArmName = Literal[
    "alone",
    "pair",
    "all",
    "all-but",
    "target+general",
    "mathematics",
    "all+general",
    "all+mathematics",
    "all+general+mathematics",
    "general-alone",
    "extra-steps",
]
UNMIXED = ("alone", "general-alone", "extra-steps")
"""Arms that come once, whatever the budgets and orders."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What is added to a target."""

    name: str
    kind: ArmName
    domain: tuple[Member, ...] = ()
    general: tuple[Member, ...] = ()
    mathematics: tuple[Member, ...] = ()
    left_out: str | None = None
    general_share: float | None = None
    """Part of the mixture that general data is asked to be."""

    @property
    def members(self) -> tuple[Member, ...]:
        """Everything that is added."""
        return (*self.domain, *self.general, *self.mathematics)


class Cocktail(Design):
    """Which data to add to a target: every arm for each target and size (sheet cocktail, 2.2)."""

    targets: Annotated[Tasks, Field(min_length=1)]
    others: Tasks = ()
    """Tasks of the domain that are only added; targets are added to each other anyway."""
    mathematics: Tasks = ()
    sizes: Sizes
    """Training rows of a target."""
    cap: int | None = Field(default=None, gt=0)
    """Rows of each added task; as many as the target's when absent."""
    temperature: float = Field(default=1.0, ge=0)
    general_share: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], ONE_OR_MORE, EACH_ONCE] = ()
    """Part of the mixture that is general data, one or several; its rows, cut at the cap, when absent."""
    budgets: Annotated[tuple[Literal["additive", "matched"], ...], Field(min_length=1), ONE_OR_MORE, EACH_ONCE] = (
        "additive",
        "matched",
    )
    arms: Annotated[tuple[ArmName, ...], ONE_OR_MORE, EACH_ONCE] = ()
    """Which conditions; all that the named data allows when absent."""

    @model_validator(mode="after")
    def _plays_one_part(self) -> Self:
        check_once((*self.targets, *self.others, *self.general, *self.mathematics))
        if self.general_share and not self.general:
            raise ValueError("general_share is a part of general data, and none is named; name `general` or remove it")
        possible = {condition.kind for target in self.targets for condition in self._conditions(target)}
        if possible == {"alone"}:
            raise ValueError("nothing is added to the target; name a second target, others, general or mathematics")
        if missing := [arm for arm in self.arms if arm not in possible]:
            raise ValueError(
                f"arms: the named data makes no arm {missing[0]!r}; remove it or name its data (it makes: "
                f"{', '.join(sorted(possible))})"
            )
        return self

    def expand(self) -> Iterator[Designed]:
        """Yield every arm; one that has nothing to add, such as all-but of two tasks, is left out."""
        for target, size in product(self.targets, self.sizes):
            for condition in self._conditions(target):
                if self.arms and condition.kind not in self.arms:
                    continue
                once = condition.kind in UNMIXED
                budgets, orders = (("additive",), ("joint",)) if once else (self.budgets, self.order)
                for budget, order in product(budgets, orders):
                    yield self._in_form(target, size, condition, budget, order)

    def _conditions(self, target: str) -> Iterator[Condition]:
        domain = tuple(name for name in dict.fromkeys((*self.targets, *self.others)) if name != target)
        everything, mathematics = self._members(domain), self._members(self.mathematics)
        yield Condition(name="alone", kind="alone")
        yield from _of_domain(everything)
        for general in self._general_parts():
            yield from _with_general(general, everything, mathematics)
        if mathematics:
            yield Condition(name="target+mathematics", kind="mathematics", mathematics=mathematics)
        if everything and mathematics:
            yield Condition(name="all+mathematics", kind="all+mathematics", domain=everything, mathematics=mathematics)
        for name in self.general:
            alone = (Member(task=name, general=True),)
            yield Condition(name=f"{name}-alone", kind="general-alone", general=alone)
        if everything:
            yield Condition(name="extra-steps", kind="extra-steps", domain=everything)
        else:
            for part in self._general_parts():
                yield Condition(name=f"extra-steps{part.ending}", kind="extra-steps", general=part.members)

    def _members(self, names: tuple[str, ...]) -> tuple[Member, ...]:
        return tuple(Member.model_validate({"task": name, **self._limits}) for name in names)

    @property
    def _limits(self) -> dict[str, int]:
        return {} if self.cap is None else {"cap": self.cap}

    def _general_parts(self) -> Iterator[_GeneralPart]:
        """Yield the general data once for every share of it."""
        if self.general and not self.general_share:
            members = (Member.model_validate({"task": name, "general": True, **self._limits}) for name in self.general)
            yield _GeneralPart("", None, tuple(members))
        for share in self.general_share:
            ending = f"-{share:g}" if len(self.general_share) > 1 else ""
            own = share / len(self.general)
            yield _GeneralPart(ending, share, tuple(Member(task=t, general=True, share=own) for t in self.general))

    def _in_form(self, target: str, size: int, condition: Condition, budget: Budget, order: Order) -> Designed:
        name, kind, members = condition.name, condition.kind, condition.members
        budget = "steps" if kind == "extra-steps" else budget
        trained = target
        if kind == "general-alone":
            # One variant for each target, although they are one training: ids name what was trained on.
            trained, name, members = condition.general[0].task, f"{name}-for-{target}", ()
        named = condition if kind != "extra-steps" else Condition(name=name, kind=kind)  # it trains on the target alone
        settings = {"temperature": self.temperature, "budget": budget, "order": order}
        return self._arm(
            name_of(name, budget, order),
            self._mixture(trained, members, **settings),
            size,
            target=target,
            kind=MIXTURE if kind == "all+general+mathematics" else kind,
            added=_names(named.domain),
            left_out=named.left_out,
            general=_names(named.general),
            mathematics=_names(named.mathematics),
            budget=budget,
            order=order,
            general_share=named.general_share,
        )


@dataclass(frozen=True)
class _GeneralPart:
    ending: str
    """Of an arm's name."""
    share: float | None
    members: tuple[Member, ...]


def _names(members: tuple[Member, ...]) -> tuple[str, ...]:
    return tuple(member.task for member in members)


def _of_domain(everything: tuple[Member, ...]) -> Iterator[Condition]:
    """Yield each task of the domain, all of them, and all but each."""
    for member in everything:
        yield Condition(name=f"with-{member.task}", kind="pair", domain=(member,))
    if everything:
        yield Condition(name="all", kind="all", domain=everything)
    for left in everything if len(everything) > 1 else ():
        rest = tuple(member for member in everything if member is not left)
        yield Condition(name=f"all-but-{left.task}", kind="all-but", domain=rest, left_out=left.task)


def _with_general(
    general: _GeneralPart, everything: tuple[Member, ...], mathematics: tuple[Member, ...]
) -> Iterator[Condition]:
    """Yield general data with the target alone, with all of the domain, and with mathematics besides."""
    combined: tuple[tuple[ArmName, tuple[Member, ...], tuple[Member, ...]], ...] = (
        ("target+general", (), ()),
        *((("all+general", everything, ()),) if everything else ()),
        *((("all+general+mathematics", everything, mathematics),) if everything and mathematics else ()),
    )
    for kind, domain, numbers in combined:
        yield Condition(
            name=f"{kind}{general.ending}",
            kind=kind,
            domain=domain,
            general=general.members,
            mathematics=numbers,
            general_share=general.share,
        )
