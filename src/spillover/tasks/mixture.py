"""A mixture of tasks to train on: its settings, and how many rows of which source it takes, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, cycle, islice
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from spillover.errors import UserError
from spillover.prompts.demonstrations import normalised
from spillover.settings import ONE_OR_MORE, Settings
from spillover.tasks.task import Task

Budget = Literal["additive", "matched", "steps"]
Order = Literal["joint", "sequential"]


class Member(Settings):
    """A task that is mixed in."""

    shorthand: ClassVar[str] = "task"
    task: str
    weight: float = Field(default=1.0, gt=0)
    """Factor of its rate; the target's is 1."""
    cap: int | None = Field(default=None, gt=0)
    """The most rows that count for its rate; as many as the target's size when absent."""
    share: float | None = Field(default=None, gt=0, lt=1)
    """Its part of the whole mixture, whatever its rate."""
    general: bool = False
    """Whether it is general data: in stages it comes first, and it is no part of the specialist's data."""

    @model_validator(mode="after")
    def _rate_or_share(self) -> Self:
        if self.share is not None and (self.weight != 1 or self.cap is not None):
            raise ValueError("share fixes its part of the mixture; remove weight and cap")
        return self


class Mixture(Settings):
    """The target and what is mixed in; a bare word is a target alone.

    The rate of a source of n rows (or target tokens) is p ~ weight x min(n, cap)^temperature (examples-proportional
    mixing, sheet inherent-limits 2.4, whose temperature T is 1 / ours).
    """

    shorthand: ClassVar[str] = "target"
    added_later: ClassVar[frozenset[str]] = frozenset({"repeats"})
    target: str
    added: Annotated[tuple[Member, ...], ONE_OR_MORE] = Field(default=(), alias="with")
    """The other tasks, in order."""
    temperature: float = Field(default=1.0, ge=0)
    """Exponent of the row counts: 1 mixes in proportion to them, 0 all sources alike."""
    by: Literal["examples", "tokens"] = "examples"
    """What is counted: rows, or tokens of their targets."""
    budget: Budget = "additive"
    """``additive``: every target row once, the others on top. ``matched``: as many rows (``by: examples``) or target
    tokens (``by: tokens``) as the target alone. ``steps``: a control, the target alone, repeated to the additive
    amount."""
    repeats: Literal["target", "specialist"] = "target"
    """What the control ``budget: steps`` repeats: the target; or the target and whatever is added that is not general,
    to as many rows, and so optimizer steps, as the additive mixture has."""
    stop: Literal["target", "first"] = "target"
    """An additive mixture ends with the target's rows, others repeat where they are too few; or with the first source
    that runs out, and nothing repeats."""
    order: Order = "joint"
    """``joint`` shuffles all rows together. ``sequential`` trains in two stages, each with its own optimizer and
    schedule: first the general data (all that is added where none is general), then the rest."""
    general_epochs: int | None = Field(default=None, ge=1)
    """Passes of the first of two stages; those of the training when absent."""

    @property
    def is_plain(self) -> bool:
        """Whether it is just its target."""
        return not self.added

    @model_validator(mode="after")
    def _names_each_task_once(self) -> Self:
        names = [self.target, *(member.task for member in self.added)]
        if repeated := [name for index, name in enumerate(names) if name in names[:index]]:
            raise ValueError(f"{repeated[0]!r} is in the mixture twice; name it once")
        return self

    @model_validator(mode="after")
    def _mixes_something(self) -> Self:
        if self.is_plain and self.model_fields_set - {"target", "added"}:
            given = sorted(self.model_fields_set - {"target", "added"})[0]
            raise ValueError(
                f"{given} says how tasks are mixed, but none is added to {self.target!r}; name some `with`"
            )
        if (shares := sum(member.share or 0 for member in self.added)) >= 1:
            raise ValueError(f"the shares add up to {shares:g}, which leaves nothing for {self.target!r}; lower them")
        return self

    @model_validator(mode="after")
    def _budget_and_order_agree(self) -> Self:
        if self.stop == "first" and self.budget != "additive":
            raise ValueError(f"stop 'first' ends an additive mixture; budget is {self.budget!r}: remove one of them")
        if self.repeats == "specialist" and (self.budget != "steps" or not self._general()):
            raise ValueError("repeats 'specialist' needs budget 'steps' and general data that it replaces; remove it")
        if self.order == "sequential" and self.budget == "steps":
            raise ValueError("budget 'steps' trains without what is mixed in, which has no stages; remove order")
        if self.general_epochs and (self.order == "joint" or self.budget != "additive"):
            raise ValueError("general_epochs needs order 'sequential' and an additive budget; remove it or set those")
        return self

    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Return the tasks of each stage, in order of training."""
        names = (self.target, *(member.task for member in self.added))
        if self.budget == "steps":
            return (self.specialist(),)
        if self.order == "joint":
            return (names,)
        first = self._general() or tuple(member.task for member in self.added)
        return (first, tuple(name for name in names if name not in first))

    def specialist(self) -> tuple[str, ...]:
        """Return the tasks of the specialist's data, of those that are trained on."""
        if self.budget == "steps" and self.repeats == "target":
            return (self.target,)
        return (self.target, *(member.task for member in self.added if not member.general))

    def _general(self) -> tuple[str, ...]:
        return tuple(member.task for member in self.added if member.general)


@dataclass(frozen=True, slots=True)
class Portion:
    """What a mixture takes of one source."""

    task: str
    rows: tuple[int, ...]
    """Positions in the source, in order; a source that is too small begins again."""
    last_token_count: int | None = None
    """Target tokens that are learnt of the last row, where the budget ends within it; None learns all."""

    def token_count(self, lengths: Sequence[int]) -> int:
        """Return the target tokens that are learnt, given those of each row of the source."""
        surplus = lengths[self.rows[-1]] - self.last_token_count if self.last_token_count is not None else 0
        return sum(lengths[row] for row in self.rows) - surplus


def portions(mixture: Mixture, lengths: Sequence[Sequence[int]], *, size: int) -> tuple[Portion, ...]:
    """Return what is taken of each source, the target first, then what is added, in order.

    By examples, every count of rows is met exactly; by tokens, every count of target tokens is: of the one row that
    reaches over it, only the first tokens are learnt.

    Args:
        lengths: Target tokens of each row of each source, rows in the order in which they are taken.
        size: Training rows of the target that were asked for, which caps what has no cap of its own.

    Raises:
        UserError: If a source would get nothing.
    """
    if mixture.repeats == "specialist":
        return _repeated(mixture, lengths, size=size)
    by_tokens = mixture.by == "tokens"
    units = [row_lengths if by_tokens else [1] * len(row_lengths) for row_lengths in lengths]
    caps = [None, *(size if member.cap is None else member.cap for member in mixture.added)]
    counted = [sum(unit[:cap]) for unit, cap in zip(units, caps, strict=True)]
    held = [sum(unit) for unit in units]
    names = [mixture.target, *(member.task for member in mixture.added)]
    taken = []
    for name, unit, wanted in zip(names, units, _amounts(mixture, counted, held), strict=True):
        if wanted < 1:
            if mixture.budget == "steps" and name != mixture.target:
                continue
            what = "target tokens" if by_tokens else "rows"
            raise UserError(f"the mixture leaves no {what} for {name!r}; raise its weight or share, or the size")
        taken.append(_portion(name, unit, wanted, by_tokens=by_tokens))
    return tuple(taken)


def _repeated(mixture: Mixture, lengths: Sequence[Sequence[int]], *, size: int) -> tuple[Portion, ...]:
    """Return the specialist's portions of the additive mixture, repeated to as many rows as that has."""
    additive = mixture.model_copy(update={"budget": "additive", "repeats": "target"})
    taken = portions(additive, lengths, size=size)
    own = [portion for portion in taken if portion.task in mixture.specialist()]
    total, own_count = (sum(len(portion.rows) for portion in found) for found in (taken, own))
    counts = _apportioned(total, [len(portion.rows) / own_count for portion in own])
    return tuple(
        Portion(portion.task, tuple(islice(cycle(portion.rows), count)))
        for portion, count in zip(own, counts, strict=True)
    )


def rates(mixture: Mixture, counted: Sequence[int]) -> list[float]:
    """Return each source's part of the mixture, the target first; they add up to one.

    Args:
        counted: Rows, or target tokens, of each source, cut at its cap.
    """
    fixed = [None, *(member.share for member in mixture.added)]
    weights = [1.0, *(member.weight for member in mixture.added)]
    open_rates = [
        0.0 if share is not None else weight * count**mixture.temperature
        for share, weight, count in zip(fixed, weights, counted, strict=True)
    ]
    left = 1 - sum(share or 0 for share in fixed)
    return [
        left * rate / sum(open_rates) if share is None else share for share, rate in zip(fixed, open_rates, strict=True)
    ]


def _amounts(mixture: Mixture, counted: Sequence[int], held: Sequence[int]) -> list[int]:
    """Return how many rows, or target tokens, each source gives."""
    parts = rates(mixture, counted)
    if mixture.budget == "matched":
        return _apportioned(counted[0], parts)
    total = counted[0] / parts[0]
    if mixture.stop == "first":
        total = min(count / part for count, part in zip(held, parts, strict=True))
    amounts = [round(total * part) for part in parts]
    return [sum(amounts), *(0 for _ in amounts[1:])] if mixture.budget == "steps" else amounts


def _apportioned(total: int, parts: Sequence[float]) -> list[int]:
    """Divide a whole number by largest remainders."""
    amounts = [int(total * part) for part in parts]
    by_remainder = sorted(range(len(parts)), key=lambda index: amounts[index] - total * parts[index])
    for index in by_remainder[: total - sum(amounts)]:
        amounts[index] += 1
    return amounts


def _portion(name: str, units: Sequence[int], wanted: int, *, by_tokens: bool) -> Portion:
    """Take rows in order, from the beginning again where they run out, until the wanted amount is reached."""
    rounds, rest = divmod(wanted, sum(units))
    rows = list(range(len(units))) * rounds
    for row, amount in enumerate(units):
        if rest <= 0:
            break
        rows.append(row)
        rest -= amount
    last = units[rows[-1]] + rest if rest < 0 and by_tokens else None
    return Portion(name, tuple(rows), last)


def label_collisions(tasks: Sequence[Task]) -> list[str]:
    """Return a sentence for every two tasks of different families that share label words: one word, two meanings."""
    sentences = []
    for one, other in combinations(tasks, 2):
        words = {normalised(answer) for answer in one.answers} & {normalised(answer) for answer in other.answers}
        if words and one.family != other.family:
            sentences.append(
                f"{one.name} ({one.family}) and {other.name} ({other.family}) share the label words "
                f"{', '.join(sorted(words))}, which mean something else in each; rename them with the target's map"
            )
    return sentences
