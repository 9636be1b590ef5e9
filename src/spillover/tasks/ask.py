"""How a cell is asked: with which labels its demonstrations are shown, and whose verdicts stand in its prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from spillover.prompts.receipts import Corruption, Place, Said, default_words, places_of
from spillover.records import Cell
from spillover.settings import EACH_ONCE, ONE_OR_MORE, Settings

Seed = Annotated[int, Field(ge=0, lt=2**63)]
LABEL_AND_CONFIDENCE: tuple[Said, ...] = ("label", "confidence")
ABSTAIN_BELOW = 0.5
"""The score below which the paper's small model shows no answer (sheet supercontext, 2.2)."""


class Demonstrations(Settings):
    """Which rows are demonstrations."""

    shorthand: ClassVar[str] = "kind"
    kind: Literal["fixed", "similar"] = "fixed"
    """``fixed`` shows every item the same ones, drawn by the demonstration seed; ``similar`` each the rows of a pool
    that are most like it, the most alike last."""
    encoder: str = ""
    """Of ``similar``: whose vectors are compared, a name of the catalogue, a folder or a hub id; empty compares letters
    (TF-IDF)."""
    pool: Literal["train", "demonstrations"] = "train"
    """Of ``similar``: the task's training rows that no variant of the study trains on, or its demonstrations."""
    added_later = frozenset({"kind", "encoder", "pool"})

    @model_validator(mode="after")
    def _only_of_similar(self) -> Self:
        if self.kind == "fixed" and self.model_fields_set & {"encoder", "pool"}:
            raise ValueError("encoder and pool are of similar demonstrations; add kind: similar, or leave them out")
        return self


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
    show: Annotated[tuple[Said, ...], ONE_OR_MORE, EACH_ONCE] = LABEL_AND_CONFIDENCE
    """What of a verdict is shown; nothing shows no receipt. Where text is written the default is the answer alone."""
    where: Annotated[tuple[Place, ...], ONE_OR_MORE, EACH_ONCE] = ("demonstrations", "test")
    """In demonstrations, in the items that are asked, or in both."""
    corrupt: Corrupt = Corrupt()
    """Controls: receipts that are not the classifier's verdict on the item."""
    words: str = ""
    """The receipt's line, in which {label}, {answer} and {confidence} stand for what is shown; empty takes ours."""
    abstain_below: Annotated[float, Field(ge=0, le=1)] = ABSTAIN_BELOW
    """Probability below which an answer is shown as ``?``; labels are always shown."""
    added_later = frozenset({"show", "where", "corrupt", "words", "abstain_below"})

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

    def shown(self, *, is_text: bool) -> tuple[Said, ...]:
        """Return what is shown of a label, or of an answer in words, in the order of a line."""
        if not is_text:
            return tuple(part for part in LABEL_AND_CONFIDENCE if part in self.show)
        if set(self.show) == set(LABEL_AND_CONFIDENCE):  # the paper shows answers without a confidence
            return ("answer",)
        answer: tuple[Said, ...] = ("answer",) if {"label", "answer"} & set(self.show) else ()
        confidence: tuple[Said, ...] = ("confidence",) if "confidence" in self.show else ()
        return answer + confidence

    def at(self, shots: int, *, is_text: bool = False) -> Receipts | None:
        """Return what is shown after so many demonstrations, everything that changes nothing at its default."""
        places: tuple[Place, ...] = ("demonstrations", "test")
        where = tuple(place for place in places if place in self.where and (shots or place == "test"))
        show = self.shown(is_text=is_text)
        if not (where and show):
            return None
        corrupt = self.corrupt.only(where, confidence="confidence" in show)
        below = self.abstain_below if is_text else ABSTAIN_BELOW
        return self.model_copy(update={"where": where, "show": show, "corrupt": corrupt, "abstain_below": below})


class Ask(Settings):
    """How a cell is asked; slots are applied in this order."""

    demonstrations: Demonstrations = Demonstrations()
    """Which rows are shown before the question."""
    labels: Labels = Labels()
    """With which labels."""
    receipts: Receipts | None = None
    """Whose verdicts stand beside them and beside the question."""
    added_later = frozenset({"demonstrations", "labels", "receipts"})

    def at(self, shots: int, *, is_text: bool = False) -> Ask:
        """Return what the ask comes to after so many demonstrations; equal to ``Ask()`` where it changes nothing.

        Args:
            shots: How many.
            is_text: Whether the cell's task has text for its answers.
        """
        labels = self.labels if shots and self.labels.then else Labels()
        return Ask(
            demonstrations=self.demonstrations if shots and self.demonstrations.kind == "similar" else Demonstrations(),
            labels=labels,
            receipts=self.receipts.at(shots, is_text=is_text) if self.receipts else None,
        )

    def decides(self) -> dict[str, Any]:
        """Return what decides the prompts, as plain data for a key: no name, nothing at its default, the words.

        Of similar demonstrations the step that finds them says by what and among what.
        """
        fields = self.identity()
        if self.demonstrations.kind == "similar":
            fields["demonstrations"] = {"kind": "similar"}
        if self.receipts is not None:
            fields["receipts"] = {**fields["receipts"], "words": self.receipts.line}
            del fields["receipts"]["of"]
        return fields

    def words(self, *, is_text: bool) -> str:
        """Return what it does, in words; ``is_text`` where all who are asked so write text."""
        said = []
        if self.demonstrations.kind == "similar":
            among = "training rows" if self.demonstrations.pool == "train" else "demonstrations"
            said.append(f"{among} most like each item by {self.demonstrations.encoder or 'their letters'}")
        if self.labels.then:
            said.append(f"labels of demonstrations {self.labels.then}")
        if (receipts := self.receipts and self.receipts.at(1, is_text=is_text)) is not None:
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

    def covers(self, cell: Cell) -> bool:
        """Whether a cell is one of them; without demonstrations their seed says nothing."""
        return (
            (not self.tasks or cell.tested_on in self.tasks)
            and (not self.shots or cell.shots in self.shots)
            and (not self.seeds or not cell.shots or cell.demonstration_seed in self.seeds)
        )


EVERYWHERE = Only()


@dataclass(frozen=True, slots=True)
class NamedAsk:
    """A way of asking as a study has it; neither its name nor where it is asked is part of a key."""

    name: str
    ask: Ask
    only: Only = EVERYWHERE

    def covers(self, cell: Cell) -> bool:
        """Whether a cell is asked so."""
        return self.only.covers(cell)
