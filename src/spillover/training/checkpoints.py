"""Saves a training run on its way, so that a killed one goes on to the same weights."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import nn

    from spillover.training.constraints.constraint import Constraint
    from spillover.training.fit import TrainingLog

STATE = "state.pt"


@dataclass(frozen=True, slots=True)
class RunState:
    """Everything that changes from step to step."""

    weights: Mapping[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    constraint: Constraint
    log: TrainingLog


class Checkpoints:
    """The last saved state of one run.

    Args:
        folder: Of this run alone; it is removed when the run is over.
        seconds: From one save to the next.
    """

    def __init__(self, folder: Path, *, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds
        self._last = time.monotonic()

    def part(self, name: str) -> Checkpoints:
        """Return the checkpoints of one part of the run, which are removed with it."""
        return Checkpoints(self._folder / name, seconds=self._seconds)

    def save_if_due(self, state: RunState, step: int) -> None:
        """Save the state after so many steps where enough time has passed; it appears by rename."""
        if time.monotonic() - self._last < self._seconds:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        aside = self._folder / f"{STATE}.part"
        torch.save(
            {
                "step": step,
                "weights": {name: weight.detach() for name, weight in state.weights.items()},
                "optimizer": state.optimizer.state_dict(),
                "schedule": state.schedule.state_dict(),
                "constraint": state.constraint.kept_tensors(),
                "random": torch.get_rng_state(),
                "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
                "log": asdict(state.log),
            },
            aside,
        )
        aside.rename(self._folder / STATE)
        self._last = time.monotonic()

    def restore(self, state: RunState) -> int:
        """Bring a run to where it was saved; return how many steps that are, 0 where nothing was saved."""
        path = self._folder / STATE
        if not path.is_file():
            return 0
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        with torch.no_grad():
            for name, weight in state.weights.items():
                weight.copy_(saved["weights"][name])
        state.optimizer.load_state_dict(saved["optimizer"])
        state.schedule.load_state_dict(saved["schedule"])
        devices = {name: weight.device for name, weight in state.weights.items()}
        state.constraint.restore(
            {flat: tensor.to(devices[flat.partition("/")[2]]) for flat, tensor in saved["constraint"].items()}
        )
        torch.set_rng_state(saved["random"])
        if saved["cuda_random"]:
            torch.cuda.set_rng_state_all(saved["cuda_random"])
        for name, value in saved["log"].items():
            setattr(state.log, name, value)
        return int(saved["step"])

    def remove(self) -> None:
        """Forget the run."""
        shutil.rmtree(self._folder, ignore_errors=True)
