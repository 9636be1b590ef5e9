"""What every fuzz test holds a call to: an answer or an error of ours, no network, and not for long."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, Phase, settings

from spillover.errors import SpilloverError

SECONDS = 10.0
"""Of processor time, a hundred times what the slowest sound case takes."""
SHORT, LONG = 12, 1000
"""Cases a test."""


def fuzzed(count: int) -> settings:
    """Return settings under which a test tries the same ``count`` cases everywhere, and shows the smallest failure."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )


lengths = pytest.mark.parametrize("count", [SHORT, pytest.param(LONG, marks=pytest.mark.long)])


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    stopped = []

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.append(seconds)
        raise AssertionError(f"not done after {seconds} s of processor time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    assert not stopped, f"not done after {seconds} s of processor time, and what stopped it was taken for an error"


def survives(call: Callable[[], object], folder: Path) -> str:
    """Make the call; return the line of its error, or nothing.

    Anything raised that is not ours, a line that is none, a hang and a changed file below ``folder`` fail the test.
    """
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    said = ""
    with _within(SECONDS):
        try:
            call()
        except SpilloverError as error:
            said = str(error)
            assert said
            assert "\n" not in said
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return said


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
