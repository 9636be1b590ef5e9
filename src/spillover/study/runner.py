"""Runs what is missing of a study, one step after the other, and says what it does."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from spillover.artifacts.cache import NoRoomError
from spillover.errors import SpilloverError, UserError
from spillover.models.fingerprint import tensor_entries
from spillover.steps.step import Step, Told
from spillover.steps.variant import Variant
from spillover.steps.workshop import Workshop, machine
from spillover.store.store import Store, StoreError
from spillover.study.study import Study

BYTES_A_WEIGHT = 4
"""Variants are kept in float32."""


class Observer(Protocol):
    """Is told how a run goes on. Work is counted in tokens of forward passes, so that an ETA follows from speed."""

    def planned(self, steps: Sequence[Step], work: float) -> None:
        """The steps that will be computed and their total work."""

    def started(self, step: Step) -> None:
        """A step begins."""

    def advanced(self, step: Step, share: float) -> None:
        """A share 0..1 of the step is done."""

    def noted(self, step: Step, note: str) -> None:
        """A step says something on its way, such as what training has forgotten so far."""

    def finished(self, step: Step, work: float) -> None:
        """A step is done or given up; ``work`` is what was planned for it."""

    def failed(self, step: Step, error: Exception) -> None:
        """A step failed; the steps that need it will not run."""


@dataclass(slots=True)
class Outcome:
    """What a run did."""

    computed: list[Step] = field(default_factory=list)
    failed: list[tuple[Step, str]] = field(default_factory=list)
    """Steps that failed or could not be run because one they need failed, and why."""


def missing_steps(study: Study, store: Store) -> list[Step]:
    """Return the steps that are not finished, inputs first."""
    return [step for step in study.steps if not store.has(step)]


def run_study(study: Study, store: Store, workshop: Workshop, observer: Observer) -> Outcome:
    """Compute whatever is missing.

    Every row is read, rendered and encoded before the first step is written, so that a mistake in the data is found
    before compute is spent. A step that fails, whatever is raised in it, takes down only the steps that need it.

    Raises:
        UserError: If the data, the prompts or the disk cannot serve the study; nothing has been written then.
        StoreError: If no step can be written.
        NoRoomError: If the disk is full.
    """
    return run_steps(study, missing_steps(study, store), store, workshop, observer)


def run_steps(study: Study, missing: Sequence[Step], store: Store, workshop: Workshop, observer: Observer) -> Outcome:
    """Compute some steps of a study, inputs first, as `run_study` does.

    A step that another process is computing, and what needs it, is put off until nothing else is left to do.
    """
    attempts = _Attempts(study, store, workshop, observer)
    work = {step.key: attempts.work(step) for step in missing}
    _check_disk(study, store, missing)
    observer.planned(missing, sum(work.values()))
    outcome, wait = attempts.outcome, False
    left = {step.key: step for step in missing}
    while left:
        before = len(left)
        for step in list(left.values()):
            if any(source.key in left for source in step.inputs().values()) or not attempts.make(step, wait=wait):
                continue
            wait = False
            del left[step.key]
            observer.finished(step, work[step.key])
        wait = len(left) == before
    return outcome


@dataclass
class _Attempts:
    """Computes steps of a study one by one, and keeps what became of each."""

    study: Study
    store: Store
    workshop: Workshop
    observer: Observer
    outcome: Outcome = field(default_factory=Outcome)
    lost: dict[str, str] = field(default_factory=dict)
    """Key of a step that will not be computed to the reason."""

    def work(self, step: Step) -> float:
        """Return a step's work; what is none of the user's mistakes fails the step alone, when its turn comes."""
        try:
            return step.work(self.workshop)
        except UserError:
            raise
        except Exception as error:
            self.lost[step.key] = one_line(error)
            return 0.0

    def make(self, step: Step, *, wait: bool) -> bool:
        """Compute a step, or note why it failed; return False where another process is at it."""
        broken = [source for source in step.inputs().values() if source.key in self.lost]
        if broken:
            self.lost[step.key] = f"needs a step that failed: {broken[0].label}"
            self.outcome.failed.append((step, self.lost[step.key]))
            return True
        try:
            if step.key in self.lost:
                raise SpilloverError(self.lost[step.key])
            return self.store.write(step, lambda folder: self._fill(step, folder), wait=wait)
        except (StoreError, NoRoomError):
            raise
        except Exception as error:  # models and tasks are foreign: whatever they raise is this step's fault alone
            self.lost[step.key] = one_line(error)
            self.outcome.failed.append((step, self.lost[step.key]))
            self.observer.failed(step, SpilloverError(self.lost[step.key]))
            self.workshop.let_go()  # what is half loaded, or fills the memory
            return True

    def _fill(self, step: Step, folder: Path) -> Mapping[str, Any]:
        observer = self.observer
        observer.started(step)
        told = Told(lambda share: observer.advanced(step, share), lambda note: observer.noted(step, note))
        self._require_unchanged(step)
        provenance = computed(step, folder, self.workshop, told)
        self._require_unchanged(step)
        self.outcome.computed.append(step)
        return provenance

    def _require_unchanged(self, step: Step) -> None:
        if fault := step.outside_fault(self.study.cache):
            raise SpilloverError(f"{fault} since the run began; start it again for a result of what is there now")


def one_line(error: Exception) -> str:
    """Return an error in one line, with the name of its kind where it is none of ours."""
    text = " ".join(str(error).split())
    return text if isinstance(error, SpilloverError) else f"{type(error).__name__}: {text}"


def disk_bytes(study: Study, missing: Sequence[Step]) -> int:
    """Return about how many bytes the missing steps will write; nearly all of it is weights."""
    writing = [step for step in missing if isinstance(step, Variant)]
    if not writing:
        return 0
    shapes = {entry.name: entry.shape for entry in tensor_entries(study.base.path)}
    return sum(step.weight_count(shapes) for step in writing) * BYTES_A_WEIGHT


def memory_bytes(study: Study, missing: Sequence[Step]) -> int:
    """Return about the most bytes of weights, gradients and moments that a missing step holds at once."""
    if not missing:
        return 0
    shapes = {entry.name: entry.shape for entry in tensor_entries(study.base.path)}
    return max(step.memory_bytes(shapes) for step in missing)


def computed(step: Step, folder: Path, workshop: Workshop, told: Told | None = None) -> Mapping[str, Any]:
    """Write a step's files into ``folder`` and return how, when and on what it was computed."""
    wall, cpu, started = time.monotonic(), time.process_time(), time.time()
    measured = step.compute(folder, workshop, told or Told())
    return {
        **(measured or {}),
        "label": step.label,
        "started": started,
        "duration_seconds": time.monotonic() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "device": workshop.device,
        **machine(),
    }


def _check_disk(study: Study, store: Store, missing: Sequence[Step]) -> None:
    wanted = disk_bytes(study, missing)
    place = next(folder for folder in (store.root, *store.root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if wanted > free:
        raise UserError(
            f"the store {store.root} needs about {wanted / 1e9:.1f} GB for weights, its disk has {free / 1e9:.1f} GB "
            "free; free space, choose another disk with --store, or train fewer variants"
        )
