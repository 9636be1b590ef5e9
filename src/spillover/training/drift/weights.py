"""How far fine-tuning moved the weights, per layer and module type, and which rows of the embedding moved most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch

from spillover.errors import SpilloverError
from spillover.training.drift.cost import measured_layers
from spillover.training.drift.modules import EMBEDDING, MODULE_TYPES, depth, layer_of, module_type_of
from spillover.training.drift.spectrum import DIRECTIONS, Spectrum, spectrum
from spillover.training.drift.tensors import Tensors

if TYPE_CHECKING:
    from torch import Tensor

ROW_COUNT = 20
"""Rows of the embedding that are named."""

_CHUNK = 2**22
"""Entries held in double precision at a time."""


@dataclass(frozen=True, slots=True)
class Sums:
    """The move of some weights as sums, so that tensors add up to module types, layers and the model."""

    element_count: int = 0
    moved_count: int = 0
    """Entries that are not what they were."""
    absolute_difference: float = 0.0
    """Sum of |w - w0|."""
    squared_difference: float = 0.0
    squared_base: float = 0.0
    """Sum of w0 squared."""
    squared_variant: float = 0.0
    product: float = 0.0
    """Sum of w w0."""

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))

    @property
    def relative_norm(self) -> float:
        """||w - w0|| / ||w0||; 0 where the base is zero."""
        return (self.squared_difference / self.squared_base) ** 0.5 if self.squared_base else 0.0

    @property
    def cosine(self) -> float:
        """Of the angle between w and w0; 1 where neither is anything, 0 where one of them is."""
        norms = (self.squared_base * self.squared_variant) ** 0.5
        return min(1.0, self.product / norms) if norms else float(self.moved_count == 0)

    def numbers(self) -> dict[str, float]:
        """Return what a report shows; ``mean_absolute_difference`` is the sheet genpower's weight deviation (2.6)."""
        return {
            "element_count": self.element_count,
            "mean_absolute_difference": self.absolute_difference / self.element_count,
            "relative_norm": self.relative_norm,
            "cosine": self.cosine,
            "moved_share": self.moved_count / self.element_count,
        }


@dataclass(frozen=True, slots=True)
class TensorDrift:
    """The move of one tensor."""

    layer: str
    module: str
    sums: Sums
    spectrum: Spectrum | None
    """Of a matrix in a measured layer that moved."""


@dataclass(frozen=True, slots=True)
class MovedRow:
    """A row of the embedding."""

    token_id: int
    relative_norm: float
    """Norm of the row's change, divided by the norm of the base's row."""


def weight_drift(variant: Tensors, base: Tensors) -> dict[str, Any]:
    """Compare a variant's weights with the base's.

    Returns:
        The `Sums.numbers` of the whole model with its mean ``effective_rank`` and ``new_direction_share`` over
        matrices (None where none moved); ``layers`` (layer to relative norm, in order of depth); ``module_types``
        (type to the same numbers); ``modules`` (the same numbers per ``layer`` and ``module``); ``spectrum``
        (``directions`` and the ``layers`` whose matrices were decomposed).

    Raises:
        SpilloverError: If the two hold tensors of different names.
    """
    _check_same_names(variant, base)
    measured = measured_layers({name: tuple(base[name].shape) for name in base.names})
    tensors = list(_tensor_drifts(variant, base, measured))
    layers = sorted({tensor.layer for tensor in tensors}, key=depth)
    by_layer = {layer: [tensor for tensor in tensors if tensor.layer == layer] for layer in layers}
    return {
        **_numbers(tensors),
        "layers": {layer: _total(own).relative_norm for layer, own in by_layer.items()},
        "module_types": {module: _numbers(own) for module, own in _by_module(tensors)},
        "modules": [
            {"layer": layer, "module": module, **_numbers(own)}
            for layer in layers
            for module, own in _by_module(by_layer[layer])
        ],
        "spectrum": {"directions": DIRECTIONS, "layers": sorted(measured, key=depth)},
    }


def moved_rows(variant: Tensors, base: Tensors) -> list[MovedRow]:
    """Return the `ROW_COUNT` rows of the token embedding that moved most by relative norm, largest first.

    Rows that did not move and rows that were zero are left out; without a token embedding there are none.
    """
    name = next((name for name in base.names if module_type_of(name) == EMBEDDING), None)
    if name is None:
        return []
    norms = torch.cat(
        [
            torch.stack([torch.linalg.vector_norm(after - before, dim=1), torch.linalg.vector_norm(before, dim=1)])
            for before, after in _chunks(base[name], variant[name])
        ],
        dim=1,
    )
    relative = torch.where(norms[1] > 0, norms[0] / norms[1], 0)
    values, ids = relative.topk(min(ROW_COUNT, len(relative)))
    return [MovedRow(int(id_), float(value)) for id_, value in zip(ids, values, strict=True) if value > 0]


def _check_same_names(variant: Tensors, base: Tensors) -> None:
    only_in_one = set(variant.names) ^ set(base.names)
    if only_in_one:
        raise SpilloverError(
            f"{variant.source} and {base.source} hold different tensors ({sorted(only_in_one)[:3]} in one only); "
            "drift compares a variant with the base it was trained from"
        )


def _tensor_drifts(variant: Tensors, base: Tensors, measured: frozenset[str]) -> Iterator[TensorDrift]:
    for name in sorted(variant.names):
        before, after = base[name], variant[name]
        layer = layer_of(name)
        sums = sum((_sums(*chunk) for chunk in _chunks(before, after)), Sums())
        decomposed = layer in measured and before.dim() == 2
        found = spectrum(after.double() - before.double(), before) if decomposed else None
        yield TensorDrift(layer, module_type_of(name), sums, found)


def _chunks(before: Tensor, after: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield both tensors in double precision, some rows at a time; of a resized embedding, the rows both have."""
    rows = min(len(before), len(after))
    step = max(1, _CHUNK * rows // max(1, before.numel()))
    for start in range(0, rows, step):
        end = min(rows, start + step)
        yield before[start:end].double(), after[start:end].double()


def _sums(before: Tensor, after: Tensor) -> Sums:
    change = after - before
    return Sums(
        change.numel(),
        int(change.count_nonzero()),
        float(change.abs().sum()),
        float(change.square().sum()),
        float(before.square().sum()),
        float(after.square().sum()),
        float((before * after).sum()),
    )


def _total(tensors: Iterable[TensorDrift]) -> Sums:
    return sum((tensor.sums for tensor in tensors), Sums())


def _by_module(tensors: list[TensorDrift]) -> Iterator[tuple[str, list[TensorDrift]]]:
    for module in MODULE_TYPES:
        own = [tensor for tensor in tensors if tensor.module == module]
        if own:
            yield module, own


def _numbers(tensors: list[TensorDrift]) -> dict[str, float | None]:
    spectra = [tensor.spectrum for tensor in tensors if tensor.spectrum]
    means = {
        item.name: sum(getattr(found, item.name) for found in spectra) / len(spectra) if spectra else None
        for item in fields(Spectrum)
    }
    return {**_total(tensors).numbers(), **means}
