"""What `spillover run` and `spillover.run` do alike: mend the store, check the study, do what is missing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from spillover.lint.lint import lint, refuse_errors
from spillover.models.memory import GPU_SHARE
from spillover.steps.step import Step
from spillover.steps.variant import ADAPTER, WEIGHTS
from spillover.steps.workshop import Workshop
from spillover.store.mending import remove_damaged
from spillover.store.store import Store
from spillover.study.halving import within_budget
from spillover.study.runner import Observer, missing_steps, run_study
from spillover.study.study import Study
from spillover.training.tracking import Tracking


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a study is run; nothing of it changes a number."""

    device: Callable[[], str]
    """Says where to compute; asked only when something is missing."""
    announce: Callable[[str], None] | None = None
    """Told the key of each training before it begins; see `Workshop`."""
    shards: bool = False
    """Whether trainings split the model over processes; see `Workshop`."""
    seconds: float | None = None
    """Time; variants of a design that do not fit are dropped."""
    checked: str | None = None
    """The study's file, where lint's errors stop it before anything is computed; None does not check."""
    gpu_share: float = GPU_SHARE
    """Of the free memory of a CUDA device, what asking may take."""
    track: str | None = None
    """The tracker that trainings are sent to, in place of the study's own."""


def complete(
    study: Study,
    store: Store,
    options: RunOptions,
    *,
    observing: AbstractContextManager[Observer],
    notice: Callable[[str], None],
) -> list[tuple[Step, str]]:
    """Do whatever is missing of a study; return the steps that failed, and why.

    Args:
        study: What to do.
        store: Where finished steps are; damaged ones are removed, and computed again.
        options: How.
        observing: Gives what is told how the run goes on.
        notice: Is told a line of whatever else is worth saying.

    Raises:
        UserError: If the store, the study, the tracker or the time cannot serve.
    """
    tracking = tracking_of(study, store, options.track)
    remove_damaged(study.steps, store, slow_files=(WEIGHTS, ADAPTER), notice=notice)
    if not missing_steps(study, store):
        notice("nothing to do: every step is in the store")
        return []
    if tracking:
        tracking.require_installed()
    workshop = Workshop(
        store,
        device=options.device(),
        notice=notice,
        announce=options.announce,
        tracking=tracking,
        shards=options.shards,
        gpu_share=options.gpu_share,
    )
    if options.checked:
        refuse_errors(lint(study, store, workshop), notice, study_file=options.checked)
    with observing as observer:
        if options.seconds is not None:
            study = within_budget(study, store, workshop, observer, seconds=options.seconds, notice=notice)
        return run_study(study, store, workshop, observer).failed


def tracking_of(study: Study, store: Store, track: str | None) -> Tracking | None:
    """Return where a study can be followed: in the tracker that is named, or its own; None without one."""
    name = track or study.track
    return Tracking(name, study.name, store.root / "tracking") if name else None
