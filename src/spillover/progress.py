"""Shows how a run goes on: two bars on a terminal, plain lines on a redirected stream."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from spillover.steps.step import Step


class _Clock:
    """Turns work done into the time that is left, at the speed seen so far."""

    def __init__(self, work: float) -> None:
        self._total = work
        self._done = 0.0
        self._start = time.monotonic()

    def add(self, work: float) -> None:
        self._done += work

    def left(self, within: float = 0.0) -> str:
        """Return the time left in words, nothing while it is not known; ``within`` is work done of the current step."""
        done = self._done + within
        if done < self._total / 50 or not self._total:  # the first small steps say nothing about speed
            return ""
        return f"about {duration((time.monotonic() - self._start) * max(0.0, self._total - done) / done)} left"


def duration(seconds: float) -> str:
    """Return a duration as people say it: ``45 s``, ``3 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class PlainProgress:
    """One line a step, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._count = 0
        self._done = 0
        self._clock = _Clock(0)

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def planned(self, steps: Sequence[Step], work: float) -> None:
        """Say how many steps there are."""
        self._done, self._count, self._clock = 0, len(steps), _Clock(work)
        self._say(f"{len(steps)} steps to do" if steps else "nothing to do: every step is in the store")

    def started(self, step: Step) -> None:
        """Say what begins."""
        left = self._clock.left()
        self._say(f"[{self._done + 1}/{self._count}] {step.label}{f' ({left})' if left else ''}")

    def advanced(self, step: Step, share: float) -> None:
        """Say nothing: one line a step is enough in a log."""

    def noted(self, step: Step, note: str) -> None:
        """Say it under the step."""
        self._say(f"    {note}")

    def finished(self, step: Step, work: float) -> None:
        """Count the step and its work."""
        self._done += 1
        self._clock.add(work)

    def failed(self, step: Step, error: Exception) -> None:
        """Say what failed."""
        self._say(f"FAILED {step.label}: {error}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class BarProgress:
    """A bar over all work with the time left, and one for the step at hand."""

    def __init__(self, console: Console) -> None:
        columns = [TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn()]
        self._bars = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
        self._overall = self._bars.add_task("whole study", total=None)
        self._current = self._bars.add_task("", total=None)
        self._clock = _Clock(0)
        self._done = 0.0

    def __enter__(self) -> BarProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def planned(self, steps: Sequence[Step], work: float) -> None:
        """Set the length of the overall bar."""
        self._clock = _Clock(work)
        self._bars.update(self._overall, total=work or 1, completed=0 if steps else 1)

    def started(self, step: Step) -> None:
        """Begin the step's own bar."""
        self._bars.reset(self._current, description=step.label, total=None)
        self._bars.update(self._overall, description=self._described())

    def advanced(self, step: Step, share: float) -> None:
        """Move the step's own bar."""
        self._bars.update(self._current, total=1.0, completed=share)

    def noted(self, step: Step, note: str) -> None:
        """Show it beside the step's name until the next note."""
        self._bars.update(self._current, description=f"{step.label}, {note}")

    def finished(self, step: Step, work: float) -> None:
        """Move the overall bar."""
        self._clock.add(work)
        self._bars.update(self._overall, advance=work, description=self._described())

    def _described(self) -> str:
        return ", ".join(["whole study", *filter(None, [self._clock.left()])])

    def failed(self, step: Step, error: Exception) -> None:
        """Print what failed above the bars."""
        self._bars.console.print(f"FAILED {step.label}: {error}", markup=False, highlight=False)


def progress(console: Console) -> PlainProgress | BarProgress:
    """Return the progress that suits the stream."""
    return BarProgress(console) if console.is_terminal else PlainProgress(console)
