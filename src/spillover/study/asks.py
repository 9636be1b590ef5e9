"""The ways in which a study file says cells are asked: named once, made of one another, and looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from spillover.errors import UserError, unknown_name
from spillover.records import PLAIN, AskedBy
from spillover.settings import EACH_ONCE, ONE_OR_MORE, Settings, parse_settings
from spillover.tasks.ask import EVERYWHERE, Ask, NamedAsk, Only

if TYPE_CHECKING:
    from spillover.tasks.suite import Suite

NAME = r"^[\w.+-]+$"
Names = Annotated[tuple[str, ...], ONE_OR_MORE, EACH_ONCE]
Slot = str | dict[str, object] | None
SLOTS = ("demonstrations", "labels", "receipts")


class AskEntry(Settings):
    """One way of asking, in slots that are applied in this order."""

    like: Names = ()
    """Asks whose slots it has, too; a slot of its own changes what it names of theirs."""
    demonstrations: Slot = None
    """Which rows are shown."""
    labels: Slot = None
    """With which labels: ``of``, ``then`` and ``seed``."""
    receipts: Slot = None
    """Whose verdicts are shown: ``of``, ``show``, ``where``, ``corrupt`` and ``words``."""
    only: dict[str, object] = {}
    """The ``tasks``, ``shots`` and demonstration ``seeds`` that are asked so; all where nothing is said."""


class ComparedEntry(Settings):
    """Two things that are compared, each ``MODEL`` or ``MODEL/ASK``: the first less the second."""

    a: str
    b: str


AskName = Annotated[str, Field(pattern=NAME)]
Slots = dict[str, dict[str, object]]


def resolved_asks(entries: Mapping[str, AskEntry], *, where: str) -> dict[str, NamedAsk]:
    """Return every ask by its name, each with the slots of those it is like.

    Raises:
        UserError: On an unknown name, a circle, a slot that two of them set, or a slot that says nothing sensible.
    """
    if PLAIN in entries:
        raise UserError(f"{where}: asks: {PLAIN!r} is how cells are asked without any of them; choose another name")
    found = {}
    for name in entries:
        slots = _merged(name, entries, (), where=where)
        only = parse_settings(Only, slots.pop("only", {}), where=f"{where}: ask {name!r}: only")
        found[name] = NamedAsk(name, parse_settings(Ask, slots, where=f"{where}: ask {name!r}"), only)
    return found


def _merged(name: str, entries: Mapping[str, AskEntry], above: Sequence[str], *, where: str) -> Slots:
    if name in above:
        circle = " is like ".join([*above[above.index(name) :], name])
        raise UserError(f"{where}: asks go round in a circle: {circle}; leave one `like` out")
    if name not in entries:
        raise UserError(f"{where}: ask {above[-1]!r}: {unknown_name('ask', name, entries)}")
    entry, found, set_by = entries[name], Slots(), dict[str, str]()
    for other in entry.like:
        for slot, content in _merged(other, entries, (*above, name), where=where).items():
            if slot in found:
                raise UserError(
                    f"{where}: ask {name!r}: {set_by[slot]!r} and {other!r} both set {slot}; be like one of them"
                )
            found[slot], set_by[slot] = content, other
    for slot in (*SLOTS, "only"):
        own = getattr(entry, slot)
        if own is not None and own != {}:
            given = _as_mapping(slot, own)
            found[slot] = _over(found.get(slot, {}), given)
    return found


def _as_mapping(slot: str, own: str | Mapping[str, object]) -> dict[str, object]:
    short = {"demonstrations": "kind", "labels": "of", "receipts": "of"}
    return {short[slot]: own} if isinstance(own, str) else dict(own)


def _over(below: Mapping[str, object], own: Mapping[str, object]) -> dict[str, Any]:
    """Return a slot with what another one says of it put over it, mapping by mapping."""
    merged: dict[str, Any] = dict(below)
    for key, value in own.items():
        under = merged.get(key)
        is_both = isinstance(under, Mapping) and isinstance(value, Mapping)
        merged[key] = _over(under, value) if is_both else value  # type: ignore[arg-type]
    return merged


def require_sensible(
    asks: Mapping[str, NamedAsk], primary: str, suite: Suite, tested: Sequence[str], where: str
) -> None:
    """Refuse what no cell can be asked as.

    Raises:
        UserError: On an unknown primary ask or task, or a task that has no answer set for what an ask shows.
    """
    if primary != PLAIN and primary not in asks:
        raise UserError(f"{where}: ask: {unknown_name('ask', primary, {PLAIN, *asks})}")
    if primary in asks and asks[primary].only != EVERYWHERE:
        raise UserError(f"{where}: ask {primary!r} feeds the whole matrix and cannot be for some cells only; drop only")
    for name, named in asks.items():
        for task in named.only.tasks:
            if task not in tested:
                raise UserError(f"{where}: ask {name!r}: only: {unknown_name('tested task', task, tested)}")
        needs = "receipts" if named.ask.receipts else "random labels" if named.ask.labels.then == "random" else ""
        lacking = [
            task
            for task in tested
            if task in suite.tasks
            and not suite.tasks[task].answers
            and (not named.only.tasks or task in named.only.tasks)
        ]
        options = [task for task in lacking if suite.tasks[task].options]
        if options and named.ask.labels.then:
            needs, lacking = "other labels", options
        if needs and lacking:
            raise UserError(
                f"{where}: ask {name!r}: {needs} need an answer set, which task {lacking[0]!r} has not; name the tasks "
                "that have one in only.tasks"
            )


def named(text: str, models: Mapping[str, Sequence[str]], asks: Sequence[str], primary: str) -> AskedBy:
    """Return the model and the ask that ``MODEL`` or ``MODEL/ASK`` means.

    Args:
        models: Name or id to the ids it stands for.
        asks: Names of all, plain among them.
        primary: What is meant where none is named.

    Raises:
        UserError: On an unknown name, or one that several models have.
    """
    model, ask = text, primary
    if text not in models:
        model, _, ask = text.rpartition("/")
        if not model or model not in models:
            raise unknown_name("model, or model/ask,", text, models)
        if ask not in asks:
            raise unknown_name("ask", ask, asks)
    ids = models[model]
    if len(ids) > 1:
        raise UserError(f"{len(ids)} variants are named {model!r}; take one of: {', '.join(ids)}")
    return AskedBy(ids[0], ask)
