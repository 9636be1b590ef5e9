"""How far fine-tuning moved the weights, tensor by tensor, of a folder of safetensors or of a model in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import safe_open

from spillover.errors import SpilloverError
from spillover.records import FloatArray

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

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


class Tensors:
    """A model's tensors by name, each read when it is asked for.

    Args:
        source: Where they come from, for messages.
        read: Name to a function that returns the tensor.
    """

    def __init__(self, source: str, read: Mapping[str, Callable[[], Tensor]]) -> None:
        self.source = source
        self._read = read

    @property
    def names(self) -> tuple[str, ...]:
        """Of all tensors."""
        return tuple(self._read)

    def __getitem__(self, name: str) -> Tensor:
        """Return a tensor as it is kept."""
        return self._read[name]()

    @classmethod
    def of_folder(cls, folder: Path) -> Tensors:
        """Return the tensors saved in a folder."""
        read: dict[str, Callable[[], Tensor]] = {}
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as opened:
                read.update({name: partial(_saved, path, name) for name in opened.keys()})  # noqa: SIM118
        return cls(str(folder), read)

    @classmethod
    def of_model(cls, model: PreTrainedModel) -> Tensors:
        """Return the tensors a model would save: tied ones once, under the name that is saved."""
        tied = set(model.all_tied_weights_keys)
        state = {name: tensor for name, tensor in model.state_dict().items() if name not in tied}
        return cls("the model", {name: partial(_itself, tensor) for name, tensor in state.items()})


def _saved(path: Path, name: str) -> Tensor:
    with safe_open(path, framework="pt") as opened:
        tensor: Tensor = opened.get_tensor(name)
    return tensor


def _itself(tensor: Tensor) -> Tensor:
    return tensor


def drift(variant: Tensors, base: Tensors) -> dict[str, Any]:
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


def same_numbers(one: Tensors, other: Tensors) -> bool:
    """Whether all tensors that both have hold the same numbers, whatever their type."""
    return all(bool((one[name].float() == other[name].float()).all()) for name in set(one.names) & set(other.names))


def _tensor_drifts(variant: Tensors, base: Tensors) -> Iterator[tuple[str, TensorDrift]]:
    only_in_one = set(variant.names) ^ set(base.names)
    if only_in_one:
        raise SpilloverError(
            f"{variant.source} and {base.source} hold different tensors ({sorted(only_in_one)[:3]} in one only); "
            "drift compares a variant with the base it was trained from"
        )
    for name in variant.names:
        before, after = _array(base[name]), _array(variant[name])
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


def _array(tensor: Tensor) -> FloatArray:
    return tensor.double().cpu().numpy()


def _relative_norm(tensors: list[TensorDrift]) -> float:
    norm = sum(tensor.squared_norm for tensor in tensors) ** 0.5
    return sum(tensor.squared_difference for tensor in tensors) ** 0.5 / norm if norm else 0.0


def _layer(name: str) -> str:
    match = _LAYER.search(name)
    return match.group(1) if match else name.removesuffix(".weight").rsplit(".", 1)[-1]


def _depth(layer: str) -> tuple[int, int, str]:
    return (0, int(layer), "") if layer.isdigit() else (1, 0, layer)
