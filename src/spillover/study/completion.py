"""What `spillover run` and `spillover.run` do alike: mend the store, check the study, do what is missing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from spillover.steps.step import Step
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.halving import within_budget
from spillover.study.lint import lint, refuse_errors
from spillover.study.mending import remove_damaged
from spillover.study.runner import Observer, missing_steps, run_study
from spillover.study.study import Study
from spillover.training.tracking import Tracking


def complete(
    study: Study,
    store: Store,
    *,
    device: Callable[[], str],
    observing: AbstractContextManager[Observer],
    notice: Callable[[str], None],
    announce: Callable[[str], None] | None = None,
    shards: bool = False,
    seconds: float | None = None,
    checked: str | None = None,
    track: str | None = None,
) -> list[tuple[Step, str]]:
    """Do whatever is missing of a study; return the steps that failed, and why.

    Args:
        study: What to do.
        store: Where finished steps are; damaged ones are removed, and computed again.
        device: Says where to compute; asked only when something is missing.
        observing: Gives what is told how the run goes on.
        notice: Is told a line of whatever else is worth saying.
        announce: Told the key of each training before it begins; see `Workshop`.
        shards: Whether trainings split the model over processes; see `Workshop`.
        seconds: Time; arms of a design that do not fit are dropped.
        checked: The study's file, where lint's errors stop it before anything is computed; None does not check.
        track: The tracker that trainings are sent to, in place of the study's own.

    Raises:
        UserError: If the store, the study, the tracker or the time cannot serve.
    """
    tracking = tracking_of(study, store, track)
    remove_damaged(study, store, notice=notice)
    if not missing_steps(study, store):
        notice("nothing to do: every step is in the store")
        return []
    if tracking:
        tracking.require_installed()
    workshop = Workshop(store, device=device(), notice=notice, announce=announce, tracking=tracking, shards=shards)
    if checked:
        refuse_errors(lint(study, store, workshop), notice, study_file=checked)
    with observing as observer:
        if seconds is not None:
            study = within_budget(study, store, workshop, observer, seconds=seconds, notice=notice)
        return run_study(study, store, workshop, observer).failed


def tracking_of(study: Study, store: Store, track: str | None) -> Tracking | None:
    """Return where a study can be followed: in the tracker that is named, or its own; None without one."""
    name = track or study.track
    return Tracking(name, study.name, store.root / "tracking") if name else None
