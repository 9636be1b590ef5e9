"""Measures on this machine, in seconds, what a token of each kind of work costs, and keeps it for the next time."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from spillover.models.precision import Precision
from spillover.models.spec import ResolvedModel
from spillover.prompts.encoding import TokenIds
from spillover.steps.speed import Cost, Speed
from spillover.steps.workshop import machine
from spillover.store.identity import digest

ROW_COUNT, ROW_LENGTH, NEW_TOKENS = 4, 64, 8
"""A few seconds for a hundred million weights on two cores; rows of a pack are about so long."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What work costs on this machine, and when that was measured."""

    speed: Speed
    device: str
    seconds: float
    """Since the epoch."""
    is_new: bool = True
    """Whether it was measured just now, and not taken from the cache."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a study is to run, as it was asked for: to know ``auto`` takes torch, which is slow to load."""

    device_name: str
    threads: int | None
    device: Callable[[], str]
    """Returns the device of that name, and sets the threads."""

    def calibration(
        self,
        base: ResolvedModel,
        precision: Precision,
        *,
        cache: Path,
        anew: bool = False,
        notice: Callable[[str], None],
    ) -> Calibration:
        """Return what was measured of a base and precision on this machine, measuring it where that was not done.

        Args:
            cache: The user's cache folder.
            anew: Whether to measure again whatever is known.
        """
        identity = (base.fingerprint, precision, self.device_name, self.threads, platform.node(), dict(machine()))
        file = cache / "calibrations" / f"{digest(identity)}.json"
        known = None if anew else _read(file)
        if known:
            return known
        notice("measuring this machine for a few seconds, once for this base; --no-calibration skips it")
        device = self.device()
        found = Calibration(calibrate(base, precision=precision, device=device), device, time.time())
        with suppress(OSError):  # a cache that cannot be written is measured again
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(asdict(found)), encoding="utf-8")
        return found


def _read(file: Path) -> Calibration | None:
    """Return what a file holds; nothing where there is none, or a broken one."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        speed = Speed(**{name: Cost(**cost) for name, cost in found["speed"].items()})
        return Calibration(speed, str(found["device"]), float(found["seconds"]), is_new=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def calibrate(base: ResolvedModel, *, precision: Precision, device: str) -> Speed:
    """Load the base and let it score, generate and learn a few rows of random tokens."""
    from spillover.models.generation import generate
    from spillover.models.load import load_model
    from spillover.models.loaded import LoadedModel
    from spillover.models.scoring import answer_log_likelihoods
    from spillover.training.fit import fit
    from spillover.training.optimization import TrainingSettings
    from spillover.training.rows import TrainingRow, TrainingRows

    kept: list[LoadedModel] = []
    loading = _cost(lambda: kept.append(LoadedModel(base.path, dtype=precision, device=device)))
    model = kept[0].model
    rows = _rows(int(model.config.vocab_size))
    choices = [[row[:1], row[1:2]] for row in rows]

    def write(count: int) -> None:
        generate(model, rows, max_new_tokens=count, end_token_id=-1, is_finished=lambda _: False)

    answer_log_likelihoods(model, rows[:1], choices[:1])  # the first pass of a process is slow
    asked = _cost(lambda: answer_log_likelihoods(model, rows, choices)) * (1 / (ROW_COUNT * ROW_LENGTH))
    first, all_tokens = _cost(lambda: write(1)), _cost(lambda: write(1 + NEW_TOKENS))
    decoded = Cost(
        max(0.0, all_tokens.wall_seconds - first.wall_seconds), max(0.0, all_tokens.cpu_seconds - first.cpu_seconds)
    ) * (1 / (ROW_COUNT * NEW_TOKENS))
    learner = model if precision == "float32" else load_model(base.path, dtype="float32", device=device)
    data = TrainingRows(tuple(TrainingRow(row[:-8], row[-8:]) for row in rows), 0, {})
    settings = TrainingSettings(epochs=1, batch_size=ROW_COUNT)
    trained = _cost(lambda: fit(learner, data, settings, seed=0, precision=precision))
    return Speed(asked, decoded, trained * (1 / (ROW_COUNT * ROW_LENGTH)), loading)


def _rows(vocabulary_size: int) -> list[TokenIds]:
    draws = np.random.default_rng(0).integers(0, vocabulary_size, size=(ROW_COUNT, ROW_LENGTH))
    return [tuple(row) for row in draws.tolist()]


def _cost(work: Callable[[], object]) -> Cost:
    wall, cpu = time.monotonic(), time.process_time()
    work()
    return Cost(time.monotonic() - wall, time.process_time() - cpu)
