"""Which weight matrices are decomposed to measure drift, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping

from spillover.training.drift.modules import depth, layer_of

COST_LIMIT = 1.4e10
"""Sum over matrices of the shorter side cubed, about six seconds of one core; larger models are measured in every k-th
layer only: one of 135M parameters, which would cost 4e10, in every third."""


def measured_layers(shapes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
    """Return the layers whose matrices are decomposed: all, or every k-th so that the cost stays bounded.

    A pure function of the tensors' shapes. Matrices outside the layers, such as the embedding, are not decomposed.
    """
    matrices = {name: shape for name, shape in shapes.items() if len(shape) == 2 and layer_of(name).isdigit()}
    layers = sorted({layer_of(name) for name in matrices}, key=depth)
    cost = sum(float(min(shape)) ** 3 for shape in matrices.values())
    stride = max(1, min(len(layers), -int(-cost // COST_LIMIT)))
    return frozenset(layers[::-stride])


def decomposition_cost(shapes: Mapping[str, tuple[int, ...]]) -> float:
    """Return the sum over the decomposed matrices of the shorter side cubed."""
    layers = measured_layers(shapes)
    return sum(float(min(shape)) ** 3 for name, shape in shapes.items() if len(shape) == 2 and layer_of(name) in layers)
