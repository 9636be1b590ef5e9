"""Runs that signals end at random moments go on to the store that an undisturbed run writes, byte for byte."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from spillover.store.store import MANIFEST
from tests.robust.test_faults import STEPS, manifests

pytestmark = pytest.mark.long

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
RUNS = 36
"""That a signal is sent to."""
FIRST_SECONDS = 0.2
"""Before that, Python itself is starting."""


def started(study_file: Path, root: Path) -> subprocess.Popen[str]:
    arguments = ["run", str(study_file), "--store", str(root), "--report", str(root.with_name("report")), "--threads=1"]
    return subprocess.Popen(
        [sys.executable, "-m", "spillover", *arguments],
        env={**os.environ, "SPILLOVER_CACHE": str(study_file.parent / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell starts what runs in its background without interrupts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def ended(run: subprocess.Popen[str]) -> str:
    said, _ = run.communicate()
    assert "Traceback" not in said, said
    return said


def disturbed(study_file: Path, root: Path, number: signal.Signals, seconds: float) -> bool:
    """Start a run and send it a signal after some seconds; return whether it was still at work."""
    run = started(study_file, root)
    with suppress(subprocess.TimeoutExpired):
        run.wait(seconds)
    run.send_signal(number)
    said = ended(run)
    # What the signal met after the last step was done, or before Python listens, is no interrupted run.
    assert run.returncode in {0, -number, *([130] if number == signal.SIGINT else [])}, said
    return run.returncode != 0


def contents(root: Path) -> dict[str, bytes]:
    """Return every file of every finished step but its manifest, which says when and how long."""
    folders = [path.parent for path in manifests(root)]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def test_signals_at_random_moments_leave_the_bytes_of_an_undisturbed_run(made_study_file, tmp_path):
    begun = time.monotonic()
    whole = started(made_study_file, tmp_path / "whole" / "store")
    said = ended(whole)
    assert whole.returncode == 0, said
    duration, wanted = time.monotonic() - begun, contents(tmp_path / "whole" / "store")
    assert len(manifests(tmp_path / "whole" / "store")) == STEPS

    draw, met, roots = random.Random(0), Counter(), [tmp_path / "0" / "store"]
    for number in range(RUNS):
        signalled = SIGNALS[number % len(SIGNALS)]
        moment = draw.uniform(FIRST_SECONDS, duration)
        met[signalled.name] += disturbed(made_study_file, roots[-1], signalled, moment)
        if len(manifests(roots[-1])) == STEPS:
            roots.append(tmp_path / str(len(roots)) / "store")
    for root in roots:
        run = started(made_study_file, root)
        said = ended(run)
        assert run.returncode == 0, said
        assert contents(root) == wanted
        assert not list((root / "unfinished").iterdir())
    print(f"\nsignals that met a run at work: {dict(met)}; stores: {len(roots)}, {len(wanted)} files of each equal")
    assert sum(met.values()) > RUNS / 2
