"""The `mix` of a study file: which mixtures answer what to add, as arms that become variants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from spillover.steps.validate import FEWEST
from spillover.tasks.mixture import Budget, Member, Mixture, Order
from spillover.tasks.settings import EACH_ONCE, ONE_OR_MORE, Settings
from spillover.training.constraints.none import Unconstrained
from spillover.training.optimization import TrainingSettings
from spillover.training.settings import Recipe

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


Tasks = Annotated[tuple[str, ...], ONE_OR_MORE]
Sizes = Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1), ONE_OR_MORE, EACH_ONCE]


@dataclass(frozen=True, slots=True)
class Arm:
    """One condition of the design."""

    name: str
    """Of the variant."""
    mixture: Mixture
    size: int
    """Training rows of the mixture's target."""
    facts: Mapping[str, Any]
    """What `records.VariantCard.mixture` says of the design; no part of what is trained."""


class _Design(Settings):
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

    def _named(self, arm: str) -> str:
        return f"{self.name}.{arm}" if self.name else arm

    def _facts(self, **facts: Any) -> dict[str, Any]:
        """Return what an arm says of itself."""
        return facts | ({"validation_rows": self.validation} if self.validation else {})

    def _added(self, names: Sequence[str], **settings: object) -> list[Member]:
        return [Member.model_validate({"task": name, **settings}) for name in names]

    def _mixture(self, target: str, added: Sequence[Member], **settings: object) -> Mixture:
        data = {"target": target, "with": added, **({"by": self.by, **settings} if added else {})}
        return Mixture.model_validate(data)


class Cocktail(_Design):
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
        _check_once((*self.targets, *self.others, *self.general, *self.mathematics))
        if self.general_share and not self.general:
            raise ValueError("general_share is a part of general data, and none is named; name `general` or remove it")
        possible = {kind for target in self.targets for _, kind, _, _ in self._conditions(target)}
        if possible == {"alone"}:
            raise ValueError("nothing is added to the target; name a second target, others, general or mathematics")
        if missing := [arm for arm in self.arms if arm not in possible]:
            raise ValueError(
                f"arms: the named data makes no arm {missing[0]!r}; remove it or name its data (it makes: "
                f"{', '.join(sorted(possible))})"
            )
        return self

    def expand(self) -> list[Arm]:
        """Return every arm; one that has nothing to add, such as all-but of two tasks, is left out."""
        arms = []
        for target, size in product(self.targets, self.sizes):
            for arm, kind, facts, added in self._conditions(target):
                if self.arms and kind not in self.arms:
                    continue
                once = kind in UNMIXED
                for budget, order in product(
                    ("additive",) if once else self.budgets, ("joint",) if once else self.order
                ):
                    arms.append(self._arm(target, size, arm, kind, facts, added, budget, order))
        return arms

    def _conditions(self, target: str) -> Iterator[tuple[str, str, dict[str, Any], list[Member]]]:
        """Yield the name of each condition, its kind, what it is made of, and what is added to the target."""
        domain = [name for name in dict.fromkeys((*self.targets, *self.others)) if name != target]
        limits = {} if self.cap is None else {"cap": self.cap}
        others = {name: self._added([name], **limits) for name in domain}
        everything = [member for name in domain for member in others[name]]
        mathematics = self._added(self.mathematics, **limits)
        with_mathematics = {"mathematics": list(self.mathematics)}
        yield "alone", "alone", {}, []
        for name in domain:
            yield f"with-{name}", "pair", {"added": [name]}, others[name]
        if everything:
            yield "all", "all", {"added": domain}, everything
        for name in domain if len(domain) > 1 else []:
            rest = [member for member in everything if member.task != name]
            facts = {"added": [member.task for member in rest], "left_out": name}
            yield f"all-but-{name}", "all-but", facts, rest
        for ending, with_general, general in self._general_parts(limits):
            yield f"target+general{ending}", "target+general", with_general, general
            if everything:
                facts = {"added": domain, **with_general}
                yield f"all+general{ending}", "all+general", facts, [*everything, *general]
            if everything and mathematics:
                name, facts = "all+general+mathematics", {"arm": "mixture", "added": domain, **with_general}
                yield f"{name}{ending}", name, {**facts, **with_mathematics}, [*everything, *general, *mathematics]
        if mathematics:
            yield "target+mathematics", "mathematics", with_mathematics, mathematics
        if everything and mathematics:
            facts = {"added": domain, **with_mathematics}
            yield "all+mathematics", "all+mathematics", facts, [*everything, *mathematics]
        for name in self.general:
            yield f"{name}-alone", "general-alone", {"general": [name]}, []
        if everything:
            yield "extra-steps", "extra-steps", {}, everything
        else:
            for ending, _, general in self._general_parts(limits):
                yield f"extra-steps{ending}", "extra-steps", {}, general

    def _general_parts(self, limits: Mapping[str, object]) -> Iterator[tuple[str, dict[str, Any], list[Member]]]:
        """Yield for every share of general data the end of an arm's name, what the arm says of it, and the members."""
        for share in self.general_share or ((None,) if self.general else ()):
            facts: dict[str, Any] = {"general": list(self.general)}
            if share is None:
                yield "", facts, self._added(self.general, general=True, **limits)
                continue
            ending = f"-{share:g}" if len(self.general_share) > 1 else ""
            own = self._added(self.general, general=True, share=share / len(self.general))
            yield ending, {**facts, "general_share": share}, own

    def _arm(
        self,
        target: str,
        size: int,
        name: str,
        kind: str,
        facts: Mapping[str, Any],
        added: Sequence[Member],
        budget: Budget,
        order: Order,
    ) -> Arm:
        budget = "steps" if kind == "extra-steps" else budget
        name += "-matched" if budget == "matched" else ""
        name += "-sequential" if order == "sequential" else ""
        trained, settings = target, {}
        if kind == "general-alone":
            # One variant for each target, although they are one training: ids name what was trained on.
            trained, name = facts["general"][0], f"{name}-for-{target}"
        if added:
            settings = {"temperature": self.temperature, "budget": budget, "order": order}
        mixture = self._mixture(trained, added, **settings)
        plain: dict[str, Any] = {
            "target": target,
            "arm": kind,
            "added": [],
            "left_out": None,
            "general": [],
            "mathematics": [],
        }
        return Arm(
            self._named(name), mixture, size, self._facts(**{**plain, "budget": budget, "order": order, **facts})
        )


class Factorial(_Design):
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
            _check_once((*group, *self.general))
            if (fewest := min(self.specialist_rows)) < len(group):
                raise ValueError(
                    f"specialist_rows is {fewest}, fewer than the {len(group)} tasks of a target; raise it"
                )
        if not any(self.general_rows):
            raise ValueError("general_rows is 0 alone, so nothing is compared; name an amount beside it")
        return self

    def expand(self) -> list[Arm]:
        """Return every combination; without general rows there is one arm, whatever the order and the budget."""
        arms = []
        for group, rows, general_rows in product(self.targets, self.specialist_rows, self.general_rows):
            if not general_rows:
                arms.append(self._arm(group, rows, 0, "joint", "additive"))
                continue
            for budget in self.budgets:
                orders = ("joint",) if budget == "steps" else self.order
                arms += [self._arm(group, rows, general_rows, order, budget) for order in orders]
        if self.general_alone:
            targets = dict.fromkeys(group[0] for group in self.targets)
            arms += [self._without_target(target, count) for target in targets for count in self.general_rows if count]
        return arms

    def _without_target(self, target: str, general_rows: int) -> Arm:
        """Return the general data alone; one arm for each target, although they are one training."""
        first, *others = self._general_members(general_rows)
        facts = self._facts(
            target=target,
            arm="general-alone",
            added=[],
            left_out=None,
            general=[first.task, *(member.task for member in others)],
            budget="additive",
            order="joint",
            specialist_rows=0,
            general_rows=general_rows,
        )
        assert first.cap
        name = self._named(f"general-alone-{general_rows}-for-{target}")
        return Arm(name, self._mixture(first.task, others), first.cap, facts)

    def _general_members(self, general_rows: int) -> list[Member]:
        amounts = zip(self.general, _divided(general_rows, len(self.general)), strict=True)
        return [Member(task=name, cap=count, general=True) for name, count in amounts if count]

    def _arm(self, group: tuple[str, ...], rows: int, general_rows: int, order: Order, budget: Budget) -> Arm:
        target, *beside = group
        own, *others = _divided(rows, len(group))
        added = [Member(task=name, cap=count) for name, count in zip(beside, others, strict=True)]
        general = self._general_members(general_rows)
        kind = "alone" if not general_rows else "extra-steps" if budget == "steps" else "target+general"
        name = {"alone": "alone", "extra-steps": f"extra-steps-{general_rows}"}.get(kind, f"general-{general_rows}")
        name += "-matched" if budget == "matched" else ""
        name += "-sequential" if order == "sequential" else ""
        facts = self._facts(
            target=target,
            arm=kind,
            added=beside,
            left_out=None,
            general=[member.task for member in general],
            budget=budget,
            order=order,
            specialist_rows=rows,
            general_rows=general_rows,
        )
        mixed: dict[str, object] = {"order": order, "budget": budget} if added or general else {}
        if budget == "steps" and added:
            mixed["repeats"] = "specialist"
        prefix = f"{'+'.join(group)}." if beside else ""
        return Arm(self._named(prefix + name), self._mixture(target, [*added, *general], **mixed), own, facts)


def _check_once(names: Sequence[str]) -> None:
    if repeated := [name for index, name in enumerate(names) if name in names[:index]]:
        raise ValueError(f"{repeated[0]!r} is named twice; a task is target, other, general or mathematics")


def contradiction_with_stages(mixture: Mixture, recipe: Recipe, training: TrainingSettings) -> str | None:
    """Return why weights cannot be trained so in two stages, if they cannot."""
    if mixture.order == "joint":
        return None
    if recipe.constraint != Unconstrained():
        return (
            f"order 'sequential' and constraint {recipe.constraint.kind!r} contradict each other: the second stage "
            "would be held to the first stage's weights, not to the base's; use order 'joint'"
        )
    if training.max_steps is not None:
        return (
            "order 'sequential' and training.max_steps contradict each other: each stage would be cut at them; remove "
            "max_steps"
        )
    return None


def _divided(total: int, count: int) -> list[int]:
    return [total // count + (index < total % count) for index in range(count)]


def _design(value: object) -> str:
    is_factorial = isinstance(value, Factorial) or (isinstance(value, Mapping) and "specialist_rows" in value)
    return "factorial" if is_factorial else "cocktail"


Mix = Annotated[Annotated[Cocktail, Tag("cocktail")] | Annotated[Factorial, Tag("factorial")], Discriminator(_design)]
"""A factorial where ``specialist_rows`` is given, else a cocktail."""
