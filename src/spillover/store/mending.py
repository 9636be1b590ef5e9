"""Finds finished steps that are no longer as they were written, and removes them so that they are computed again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from spillover.store.store import DamagedStepError, Store, Stored


class Linked(Stored, Protocol):
    """A unit of work that names itself and what it reads."""

    @property
    def label(self) -> str:
        """What the step is, for people."""

    def inputs(self) -> Mapping[str, Stored]:
        """Return the steps whose results this one reads."""


def remove_damaged(
    steps: Sequence[Linked], store: Store, *, slow_files: Collection[str], notice: Callable[[str], None]
) -> None:
    """Remove the damaged ones of steps from their store.

    Args:
        steps: Inputs before what reads them.
        store: Where they are.
        slow_files: Names of files that take long to read; those that no missing step needs are left for the day
            they are needed.
        notice: Is told a line for each.

    Raises:
        UserError: If the store is of another version of this program, or a damaged step cannot be removed.
    """
    needed = set[str]()
    for step in reversed(steps):
        if store.has(step):
            try:
                store.check(step, but=() if step.key in needed else slow_files)
                continue
            except DamagedStepError as error:
                notice(f"damaged: {step.label}: {error}")
                store.remove_damaged(step)
        needed |= {source.key for source in step.inputs().values()}
