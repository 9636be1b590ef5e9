"""Saves a training run on its way, so that a killed one goes on to the same weights."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from spillover.training.sharding import split_like, whole

if TYPE_CHECKING:
    from torch import nn

    from spillover.training.constraints.constraint import Constraint
    from spillover.training.log import TrainingLog

STATE = "state.safetensors"


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

    @property
    def are_due(self) -> bool:
        """Whether enough time has passed since the last one."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, state: RunState, step: int, *, write: bool = True) -> None:
        """Save the state after so many steps; it appears by rename, and holds whole tensors.

        Args:
            state: Split over processes, all of which then save, or whole.
            step: How many are done.
            write: Whether this process writes what it saves.
        """
        tensors: dict[str, torch.Tensor] = {}
        saved = {
            "step": step,
            "weights": dict(state.weights),
            "optimizer": state.optimizer.state_dict(),
            "schedule": state.schedule.state_dict(),
            "constraint": state.constraint.kept_tensors(),
            "recorded": state.constraint.recorded_facts(),
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "log": asdict(state.log),
        }
        plain = json.dumps(_without_tensors(saved, tensors if write else None))
        if not write:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        aside = self._folder / f"{STATE}.part"
        save_file(tensors, aside, {"plain": plain, "digest": _digest(plain, tensors)})
        aside.rename(self._folder / STATE)
        self._last = time.monotonic()

    def restore(self, state: RunState) -> int:
        """Bring a run to where it was saved; return how many steps that are, 0 where nothing sound was saved."""
        saved = self._saved()
        if saved is None:
            return 0
        with torch.no_grad():
            for name, weight in state.weights.items():
                weight.copy_(split_like(saved["weights"][name], weight))
        weights, moments = list(state.weights.values()), saved["optimizer"]["state"]
        for index, held in moments.items():
            moments[index] = {name: split_like(moment, weights[index]) for name, moment in held.items()}
        state.optimizer.load_state_dict(saved["optimizer"])
        state.schedule.load_state_dict(saved["schedule"])
        constraint = {}
        for flat, tensor in saved["constraint"].items():
            weight = state.weights[flat.partition("/")[2]]
            constraint[flat] = split_like(tensor, weight).to(weight.device)
        state.constraint.restore(constraint, saved.get("recorded", {}))
        torch.set_rng_state(saved["random"])
        if saved["cuda_random"]:
            torch.cuda.set_rng_state_all(saved["cuda_random"])
        for name, value in saved["log"].items():
            setattr(state.log, name, value)
        return int(saved["step"])

    def remove(self) -> None:
        """Forget the run."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _saved(self) -> Any:
        path = self._folder / STATE
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as opened:
                stated = opened.metadata() or {}
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        except (SafetensorError, OSError):
            return None
        plain = stated.get("plain", "")
        return _with_tensors(json.loads(plain), tensors) if stated.get("digest") == _digest(plain, tensors) else None


def _without_tensors(value: object, tensors: dict[str, torch.Tensor] | None) -> object:
    """Return a tree as JSON can hold it, its tensors moved into ``tensors``; mappings keep keys that are numbers.

    Split tensors are put together, for which all processes go through the same tree; None keeps nothing.
    """
    if isinstance(value, torch.Tensor):
        tensor = whole(value.detach())
        if tensors is None:
            return {}
        name = str(len(tensors))
        tensors[name] = tensor.contiguous()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"items": [[key, _without_tensors(inner, tensors)] for key, inner in value.items()]}
    if isinstance(value, list | tuple):
        return [_without_tensors(inner, tensors) for inner in value]
    return value


def _with_tensors(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_with_tensors(inner, tensors) for inner in value]
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: _with_tensors(inner, tensors) for key, inner in value["items"]}
    return value


def _digest(plain: str, tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(plain.encode())
    for name in sorted(tensors):
        digest.update(tensors[name].cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
