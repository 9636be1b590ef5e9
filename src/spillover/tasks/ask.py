"""How a cell is asked: with which labels its demonstrations are shown, and whose verdicts stand in its prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from spillover.prompts.receipts import Corruption, Place, Said, default_words, places_of
from spillover.records import Cell
from spillover.settings import EACH_ONCE, ONE_OR_MORE, Settings

Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Demonstrations(Settings):
    """Which rows are demonstrations."""

    shorthand: ClassVar[str] = "kind"
    kind: Literal["fixed"] = "fixed"
    """``fixed`` shows every item the same ones, drawn by the demonstration seed."""
    added_later = frozenset({"kind"})

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_is_not_there(cls, data: object) -> object:
        kind = data.get("kind", "fixed") if isinstance(data, Mapping) else data
        if kind != "fixed":
            raise ValueError(f"demonstrations of kind {kind!r} are not there; the only kind is 'fixed', leave it out")
        return data


class Labels(Settings):
    """With which labels demonstrations are shown."""

    shorthand: ClassVar[str] = "of"
    of: Literal["gold"] = "gold"
    """``gold`` shows what is right."""
    then: Literal["", "shuffled", "random"] = ""
    """``shuffled`` gives each demonstration the label of another, ``random`` one of the answer set."""
    seed: Seed = 0
    """Of what is shuffled or random."""
    added_later = frozenset({"of", "then", "seed"})


class Corrupt(Settings):
    """What is done to receipts, to see what a model makes of them."""

    demonstrations: Corruption | Literal[""] = ""
    """Of demonstrations: ``shuffled``, each another one's; ``random-label`` or ``random-confidence``, a drawn one."""
    test: Corruption | Literal[""] = ""
    """Of the items that are asked, likewise."""
    seed: Seed = 0
    added_later = frozenset({"demonstrations", "test", "seed"})

    def kind(self, place: Place) -> Corruption | Literal[""]:
        """Return what is done in a place."""
        return self.demonstrations if place == "demonstrations" else self.test

    def only(self, places: tuple[Place, ...], *, confidence: bool) -> Corrupt:
        """Return what changes anything where receipts stand in these places alone."""
        kinds = {place: self.kind(place) if place in places else "" for place in ("demonstrations", "test")}
        if not confidence:
            kinds = {place: "" if kind == "random-confidence" else kind for place, kind in kinds.items()}
        return Corrupt.model_validate({**kinds, "seed": self.seed}) if any(kinds.values()) else Corrupt()


class Receipts(Settings):
    """A model's verdicts, shown to another one."""

    of: str
    """The variant whose verdicts they are."""
    show: Annotated[tuple[Said, ...], ONE_OR_MORE, EACH_ONCE] = ("label", "confidence")
    """What of a verdict is shown; nothing shows no receipt."""
    where: Annotated[tuple[Place, ...], ONE_OR_MORE, EACH_ONCE] = ("demonstrations", "test")
    """In demonstrations, in the items that are asked, or in both."""
    corrupt: Corrupt = Corrupt()
    """Controls: receipts that are not the classifier's verdict on the item."""
    words: str = ""
    """The receipt's line, in which {label} and {confidence} stand for what is shown; empty takes ours."""
    added_later = frozenset({"show", "where", "corrupt", "words"})

    @field_validator("words")
    @classmethod
    def _one_of_each(cls, text: str) -> str:
        if text and not text.strip():
            raise ValueError("words hold nothing; write a line with {label} in it, or leave them out")
        return text

    @model_validator(mode="after")
    def _words_show_what_is_shown(self) -> Self:
        if self.words and (held := set(places_of(self.words))) != set(self.show):
            wanted, there = (" and ".join(f"{{{name}}}" for name in sorted(names)) for names in (self.show, held))
            raise ValueError(f"words {self.words!r} hold {there or 'no place'}, show asks for {wanted or 'nothing'}")
        return self

    @property
    def line(self) -> str:
        """The receipt's line."""
        return self.words or default_words(self.show)

    def at(self, shots: int) -> Receipts | None:
        """Return what is shown after so many demonstrations, everything that changes nothing at its default."""
        places: tuple[Place, ...] = ("demonstrations", "test")
        said: tuple[Said, ...] = ("label", "confidence")
        where = tuple(place for place in places if place in self.where and (shots or place == "test"))
        show = tuple(part for part in said if part in self.show)
        if not (where and show):
            return None
        corrupt = self.corrupt.only(where, confidence="confidence" in show)
        return self.model_copy(update={"where": where, "show": show, "corrupt": corrupt})


class Ask(Settings):
    """How a cell is asked; slots are applied in this order."""

    demonstrations: Demonstrations = Demonstrations()
    """Which rows are shown before the question."""
    labels: Labels = Labels()
    """With which labels."""
    receipts: Receipts | None = None
    """Whose verdicts stand beside them and beside the question."""
    added_later = frozenset({"demonstrations", "labels", "receipts"})

    def at(self, shots: int) -> Ask:
        """Return what the ask comes to after so many demonstrations; equal to ``Ask()`` where it changes nothing."""
        labels = self.labels if shots and self.labels.then else Labels()
        return Ask(labels=labels, receipts=self.receipts.at(shots) if self.receipts else None)

    def decides(self) -> dict[str, Any]:
        """Return what decides the prompts, as plain data for a key: no name, nothing at its default, the words."""
        fields = self.identity()
        if self.receipts is not None:
            fields["receipts"] = {**fields["receipts"], "words": self.receipts.line}
            del fields["receipts"]["of"]
        return fields

    @property
    def words(self) -> str:
        """What it does, in words."""
        said = []
        if self.labels.then:
            said.append(f"labels of demonstrations {self.labels.then}")
        if (receipts := self.receipts and self.receipts.at(1)) is not None:
            places = {"demonstrations": "demonstrations", "test": "the item"}
            said.append(
                f"{' and '.join(receipts.show)} of {receipts.of} beside "
                f"{' and '.join(places[place] for place in receipts.where)}"
            )
            said += [
                f"{receipts.corrupt.kind(place)} beside {places[place]}"
                for place in receipts.where
                if receipts.corrupt.kind(place)
            ]
        return ", ".join(said) or "as plain"


AS_PLAIN = Ask()
"""The ask that changes nothing."""


class Only(Settings):
    """The cells that are asked so; all where nothing is said."""

    tasks: Annotated[tuple[str, ...], ONE_OR_MORE, EACH_ONCE] = ()
    shots: Annotated[tuple[Seed, ...], ONE_OR_MORE, EACH_ONCE] = ()
    seeds: Annotated[tuple[Seed, ...], ONE_OR_MORE, EACH_ONCE] = ()
    """Demonstration seeds."""


EVERYWHERE = Only()


@dataclass(frozen=True, slots=True)
class NamedAsk:
    """A way of asking as a study has it; neither its name nor where it is asked is part of a key."""

    name: str
    ask: Ask
    only: Only = EVERYWHERE

    def covers(self, cell: Cell) -> bool:
        """Whether a cell is asked so; without demonstrations their seed says nothing."""
        only = self.only
        return (
            (not only.tasks or cell.tested_on in only.tasks)
            and (not only.shots or cell.shots in only.shots)
            and (not only.seeds or not cell.shots or cell.demonstration_seed in only.seeds)
        )
