"""What a question adds to a study: variants, which of them compete, and what validation rows measure."""

from __future__ import annotations

from dataclasses import dataclass

from spillover.study.study_file import VariantEntry


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a variant is there for in a question's design; the question itself says more of it. Part of no key."""

    level: tuple[object, ...] | None = None
    """Variants of one level that are trained alike compete, and a budget keeps the better ones. None was fixed
    beforehand: it competes with nothing, and no budget drops it."""
    is_control: bool = False
    """Whether it is there to be compared with alone: no validation rows measure it, and it is no recipe of its own."""
    validation_row_count: int = 0
    """Rows of its target that measure it, tested in no cell and trained on by no part of any design; 0 measures it
    only where a budget has to choose."""
    if_fewer: str = ""
    """What to do where a source of its mixture has fewer rows than its cap, which is refused then; empty takes what
    there is."""


@dataclass(frozen=True, kw_only=True)
class Designed:
    """A variant that a question adds."""

    entry: VariantEntry
    part: Part
