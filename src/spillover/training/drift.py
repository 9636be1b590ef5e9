"""How far fine-tuning moved the weights, tensor by tensor, read from two folders of safetensors."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from spillover.errors import SpilloverError
from spillover.records import FloatArray

_LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class TensorDrift:
    """The move of one tensor; sums, so that tensors add up to layers and to the model."""

    element_count: int
    absolute_difference: float
    """Sum of |w - w0|."""
    squared_difference: float
    squared_norm: float
    """Sum of w0 squared."""


def drift(variant: Path, base: Path) -> dict[str, Any]:
    """Compare a variant's weights with the base's.

    Returns:
        ``mean_absolute_difference`` (the paper's weight deviation, sheet genpower 2.6), ``relative_norm``
        ||w - w0|| / ||w0||, ``layers`` (layer to relative norm, in order of depth) and ``tensors`` (name to sums).

    Raises:
        SpilloverError: If the two folders hold tensors of different names.
    """
    tensors = dict(sorted(_tensor_drifts(variant, base)))
    layers: dict[str, list[TensorDrift]] = {}
    for name, moved in tensors.items():
        layers.setdefault(_layer(name), []).append(moved)
    total = list(tensors.values())
    return {
        "mean_absolute_difference": sum(t.absolute_difference for t in total) / sum(t.element_count for t in total),
        "relative_norm": _relative_norm(total),
        "layers": {name: _relative_norm(layers[name]) for name in sorted(layers, key=_depth)},
        "tensors": {name: asdict(moved) for name, moved in tensors.items()},
    }


def _tensor_drifts(variant: Path, base: Path) -> Iterator[tuple[str, TensorDrift]]:
    ours, theirs = _files(variant), _files(base)
    if ours.keys() != theirs.keys():
        raise SpilloverError(
            f"{variant} and {base} hold different tensors ({sorted(ours.keys() ^ theirs.keys())[:3]} in one only); "
            "drift compares a variant with the base it was trained from"
        )
    for name in ours:
        before, after = _read(theirs[name], name), _read(ours[name], name)
        rows = min(len(before), len(after))  # a resized embedding is compared on the rows both have
        moved = after[:rows] - before[:rows]
        yield (
            name,
            TensorDrift(
                moved.size,
                float(np.abs(moved).sum()),
                float(np.square(moved).sum()),
                float(np.square(before[:rows]).sum()),
            ),
        )


def _files(folder: Path) -> Mapping[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as opened:
            files.update(dict.fromkeys(opened.keys(), path))
    return files


def _read(path: Path, name: str) -> FloatArray:
    import torch

    with safe_open(path, framework="pt") as opened:  # NumPy has no bfloat16
        tensor = opened.get_tensor(name)
    return tensor.to(torch.float64).numpy()  # type: ignore[no-any-return]


def _relative_norm(tensors: list[TensorDrift]) -> float:
    norm = sum(tensor.squared_norm for tensor in tensors) ** 0.5
    return sum(tensor.squared_difference for tensor in tensors) ** 0.5 / norm if norm else 0.0


def _layer(name: str) -> str:
    match = _LAYER.search(name)
    return match.group(1) if match else name.removesuffix(".weight").rsplit(".", 1)[-1]


def _depth(layer: str) -> tuple[int, int, str]:
    return (0, int(layer), "") if layer.isdigit() else (1, 0, layer)
