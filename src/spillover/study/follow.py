"""What the processes beside the leading one do in a run: take part in its trainings, and nothing else.

The leading one alone prepares, asks, scores, writes to the store and says how it goes on; meanwhile the others wait.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from spillover.errors import SpilloverError
from spillover.steps.step import Told
from spillover.steps.workshop import Workshop
from spillover.store.store import Store

if TYPE_CHECKING:
    from spillover.study.study import Study
    from spillover.training.processes import Crew


def follow(crew: Crew, load: Callable[[], Study], store: Store) -> None:
    """Take part in every training that the leading process announces.

    Args:
        crew: The processes of this command.
        load: Reads the study; called once the leading process has fetched everything that the study needs.
        store: Where the leading process keeps prepared rows and checkpoints.
    """
    workshop = Workshop(store, device=crew.device, shards=crew.shards)
    steps = None
    while (key := crew.next_key()) is not None:
        steps = steps or {step.key: step for step in load().finetunes}
        with contextlib.suppress(SpilloverError):  # the leading process meets and reports the same one
            steps[key].train(workshop, Told())
