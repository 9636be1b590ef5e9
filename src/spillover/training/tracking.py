"""Sends what a training does to a tracker (MLflow, TensorBoard, trackio, Weights & Biases) through accelerate."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from spillover.errors import SpilloverError, UserError, unknown_name

if TYPE_CHECKING:
    from accelerate import Accelerator
    from accelerate.tracking import GeneralTracker

TRACKERS = ("mlflow", "tensorboard", "trackio", "wandb")

Setting = bool | int | float | str | None


class TrackerError(SpilloverError, RuntimeError):
    """A tracker failed; of several processes it stops the leading one alone, as exhausted memory would."""


@dataclass(frozen=True, slots=True)
class Tracking:
    """Where the trainings of a study can be followed.

    Raises:
        UserError: If there is no such tracker.
    """

    tracker: str
    """One of `TRACKERS`; its package is found, and where it keeps runs is told, as its own documentation says."""
    project: str
    """What the tracker files the trainings under."""
    folder: Path
    """For TensorBoard's files."""

    def __post_init__(self) -> None:
        """Refuse an unknown tracker."""
        if self.tracker not in TRACKERS:
            raise unknown_name("tracker", self.tracker, TRACKERS)

    def require_installed(self) -> None:
        """Refuse a tracker whose package is absent, with UserError."""
        from accelerate.tracking import get_available_trackers

        if self.tracker not in {found.value for found in get_available_trackers()}:
            raise UserError(
                f"track: {self.tracker} is not installed; install it: pip install {self.tracker}, or leave track out"
            )

    def training(self, name: str, settings: Mapping[str, object]) -> TrackedTraining:
        """Return what one training is sent to; ``name`` is the run's and ``settings`` is plain data, nested or not."""
        return TrackedTraining(self.tracker, project=self.project, name=name, settings=settings, folder=self.folder)

    def keep_page(self, page: Path) -> bool:
        """Send a report's page to MLflow or Weights & Biases as the artifact of a run named ``report``.

        Returns:
            Whether it was sent: the other trackers keep no artifacts.

        Raises:
            TrackerError: If the tracker failed.
        """
        from accelerate.tracking import MLflowTracker, WandBTracker

        project = _accepted(self.project)
        if self.tracker == "mlflow":
            with _told_as_one_error(self.tracker):
                import mlflow

                opened = MLflowTracker(project, run_name="report")
                opened.start()
                try:
                    mlflow.log_artifact(str(page), artifact_path="report")
                finally:
                    opened.finish()
        elif self.tracker == "wandb":
            with _told_as_one_error(self.tracker):
                import wandb

                artifact = wandb.Artifact("report", type="report")
                artifact.add_file(str(page))
                run = WandBTracker(project, name="report", job_type="report")
                run.start()
                try:
                    run.run.log_artifact(artifact)
                finally:
                    run.finish()
        return self.tracker in ("mlflow", "wandb")


class TrackedTraining:
    """One run of a tracker: opened by a training's first stage, gone on with by the next, finished with the context.

    A training that goes on from a checkpoint is a new run of the same name, from the step where it goes on.

    Args:
        tracker: A name, or one of one's own.
        project: What the tracker files the run under.
        name: Of the run.
        settings: Plain data, nested or not.
        folder: For trackers that need one.
    """

    def __init__(
        self,
        tracker: str | GeneralTracker,
        *,
        project: str,
        name: str,
        settings: Mapping[str, object],
        folder: Path | None = None,
    ) -> None:
        self.tracker = tracker
        self.folder = folder
        self._project = project
        self._name = name
        self._settings = flat(settings)
        self._accelerator: Accelerator | None = None
        self._before = 0
        """Steps of earlier stages."""
        self._last = 0

    def begin(self, accelerator: Accelerator) -> None:
        """Open the run at the first stage, with its accelerator; at a later one, count steps on."""
        self._before = self._last
        if self._accelerator:
            return
        self._accelerator = accelerator
        project = _accepted(self._project)
        if self.tracker == "tensorboard":  # knows no projects: its run is a folder
            project = f"{project}/{self._name}"
        names = {"mlflow": {"run_name": self._name}, "trackio": {"name": self._name}, "wandb": {"name": self._name}}
        with _told_as_one_error(self.tracker):
            accelerator.init_trackers(project, config=self._settings, init_kwargs=names)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send values measured after so many steps of the present stage."""
        assert self._accelerator, "begin comes first"
        self._last = self._before + step
        with _told_as_one_error(self.tracker):
            self._accelerator.log(dict(values), step=self._last)

    def __enter__(self) -> TrackedTraining:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not by accelerator.end_training(), which also parts the processes that have more to train together.
        # What went wrong before is the reason: a run that could not be opened cannot be finished either.
        with suppress(Exception) if error else _told_as_one_error(self.tracker):
            for tracker in self._accelerator.trackers if self._accelerator else ():
                tracker.finish()


@contextmanager
def _told_as_one_error(tracker: str | GeneralTracker) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # every tracker has errors of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TrackerError(
            f"tracker {tracker!r} failed ({reason}); see to it, or leave track out: the same command goes on"
        ) from error


def _accepted(project: str) -> str:
    """Return a project's name without what Weights & Biases refuses, nor quotes, in which accelerate asks MLflow."""
    return re.sub(r"[/\\#?%:']", "-", project)[:128]


def flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, Setting]:
    """Return nested plain data under dotted names, lists as JSON: trackers take single values only."""
    found: dict[str, Setting] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value if isinstance(value, Setting) else json.dumps(value)
    return found
