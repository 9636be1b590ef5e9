"""Which rows of a task are asked: its test, or others, as thresholds, temperatures and receipts need them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, Literal

from spillover.errors import UserError
from spillover.prompts.demonstrations import text_of
from spillover.records import Example
from spillover.steps.prepare import Prepare
from spillover.steps.step import Step
from spillover.steps.variant import Variant
from spillover.steps.workshop import Workshop
from spillover.store.identity import digest
from spillover.tasks.prepare import Protocol, protocol_rows, training_rows


@dataclass(frozen=True, slots=True)
class Held:
    """Rows that variants train on, by which others are recognised."""

    ids: Set[str]
    """An id names file and row."""
    texts: Set[str]
    """Normalised input fields, whatever these are called."""

    @classmethod
    def of(cls, rows: Iterable[Example]) -> Held:
        """Return what recognises the rows."""
        distinct = {(row.id, *row.fields.values()): row for row in rows}.values()
        return cls({row.id for row in distinct}, {_text(row) for row in distinct})

    def __contains__(self, row: Example) -> bool:
        return row.id in self.ids or _text(row) in self.texts


def _text(row: Example) -> str:
    return " ".join(text_of(row))


def held_by(variants: Iterable[Variant], workshop: Workshop) -> Held:
    """Return the rows of any task that one of the variants learns from."""
    learners = {digest(variant.learns): variant for variant in variants}
    return workshop.kept(
        ("held", *sorted(learners)),
        lambda: Held.of(row for learner in learners.values() for row in learner.learnt(workshop)),
    )


@dataclass(frozen=True, slots=True)
class AskedRows:
    """Rows of a task; the test, unless another part is named."""

    of: Literal["test", "demonstrations", "train", "pool"] = "test"
    """``demonstrations``, all of them; ``train``, those that a variant of this size and seed learns from; ``pool``, the
    training rows that none of ``unlearnt_by`` learns from: validation rows are the first of them."""
    count: int = 0
    """At the most; 0 for all. Of the test the cell's limit says it."""
    seed: int = 0
    """Of the order of training rows, whose first are taken."""
    unlearnt_by: tuple[Variant, ...] = ()
    """Every variant of the study, of any task: whose training rows a row is, in id or text, is not in the pool."""

    @property
    def is_test(self) -> bool:
        """Whether the test is asked."""
        return self.of == "test"

    @property
    def words(self) -> str:
        """What is asked, where it is not the test."""
        names = {"test": "", "demonstrations": "demonstrations", "train": "training rows", "pool": "untrained rows"}
        return names[self.of]

    def plain(self) -> str | dict[str, Any]:
        """Return what decides the rows beside the task's own, as plain data for a key; of a test nothing is named."""
        if self.of in ("test", "demonstrations"):
            return self.of
        learners = sorted({digest(variant.learns) for variant in self.unlearnt_by})
        return {
            "of": self.of,
            "count": self.count,
            "seed": self.seed,
            **({"unlearnt_by": digest(learners)} if self.of == "pool" else {}),
        }

    def inputs(self) -> Mapping[str, Step]:
        """Return the rows of other tasks that have to be known."""
        if self.of != "pool":
            return {}
        sources = {data.key: data for variant in self.unlearnt_by for data in variant.learns_from}
        return {f"learnt {index}": sources[key] for index, key in enumerate(sorted(sources))}

    def examples(
        self, data: Prepare, protocol: Protocol, test_limit: int, workshop: Workshop
    ) -> tuple[tuple[Example, ...], Mapping[str, int]]:
        """Return the rows of a task, and those left out by the protocol (reason to count).

        Raises:
            UserError: There are none.
        """
        prepared = data.rows(workshop)
        if self.of == "test":
            rows, dropped = data.tested_rows(workshop, protocol)
            return rows[:test_limit], dropped
        if self.of == "demonstrations":
            return prepared.demonstrations, {}
        if self.of == "train":
            selected = training_rows(prepared, self.count or len(prepared.train), seed=self.seed)
            return protocol_rows(prepared, split="train", protocol=protocol, rows=selected)
        every = training_rows(prepared, len(prepared.train), seed=self.seed)
        held = held_by(self.unlearnt_by, workshop)
        free = [row for row in every if row not in held]
        kept, dropped = protocol_rows(prepared, split="train", protocol=protocol, rows=free)
        if not kept:
            raise UserError(
                f"task {prepared.task!r}: none of its {len(every)} training rows is left that no variant trains on; "
                "lower sizes, or give the task more rows"
            )
        return kept[: self.count or None], dropped


THE_TEST = AskedRows()
"""What is asked unless something else is said."""


@dataclass(frozen=True, slots=True)
class PartOfTask:
    """Rows of one task other than its test."""

    data: Prepare
    part: AskedRows
    protocol: Protocol

    def fields(self) -> Mapping[str, Any]:
        """Return what decides the rows beside the task's own, as plain data for a key."""
        return {"part": self.part.plain(), "protocol": self.protocol}

    def inputs(self) -> Mapping[str, Step]:
        """Return the rows that have to be known."""
        return {"asked": self.data, **self.part.inputs()}

    def examples(self, workshop: Workshop) -> tuple[Example, ...]:
        """Return the rows."""
        return self.part.examples(self.data, self.protocol, 0, workshop)[0]
