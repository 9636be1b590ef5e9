"""Finds finished steps that are no longer as they were written, and removes them so that they are computed again."""

from __future__ import annotations

from collections.abc import Callable

from spillover.steps.variant import ADAPTER, WEIGHTS
from spillover.store.store import DamagedStepError, Store
from spillover.study.study import Study


def remove_damaged(study: Study, store: Store, *, notice: Callable[[str], None]) -> None:
    """Remove the damaged steps of a study from its store; ``notice`` is told a line for each.

    Weights take long to read, so those that no missing step needs are left for the day they are needed.

    Raises:
        UserError: If the store is of another version of this program, or a damaged step cannot be removed.
    """
    needed = set[str]()
    for step in reversed(study.steps):  # outputs before their inputs
        if store.has(step):
            try:
                store.check(step, but=() if step.key in needed else (WEIGHTS, ADAPTER))
                continue
            except DamagedStepError as error:
                notice(f"damaged: {step.label}: {error}")
                store.remove_damaged(step)
        needed |= {source.key for source in step.inputs().values()}
