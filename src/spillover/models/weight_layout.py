"""Bfloat16 weights in the order in which a processor's matrix unit reads them, arranged once for many passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FEWEST_PASSES = 8
"""Arranging takes as long as what it saves in some four passes."""
MOST_BYTES = 2**29
"""Of arranged copies. A model with larger layers is left as it is: they double its memory."""


class ArrangedWeights:
    """Copies of a model's linear layers that spare every product the rearranging of its weights.

    The products are the same to the last bit. Made for bfloat16 on a processor only; the vocabulary projection, which
    runs at few positions, and layers that something else has wrapped are left alone. Weights must not change while
    this is kept.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._passes = 0
        self._copies: list[tuple[nn.Linear, torch.Tensor]] | None = None

    @contextmanager
    def in_use(self, passes: int) -> Iterator[None]:
        """Let the model compute with the copies inside the block, once so many passes are worth making them."""
        self._passes += passes
        if self._copies is None and self._passes >= FEWEST_PASSES:
            self._copies = _copies(self._model)
        try:
            for layer, copy in self._copies or ():
                layer.forward = partial(_linear, copy, layer.bias)  # type: ignore[method-assign]
            yield
        finally:
            for layer, _ in self._copies or ():
                vars(layer).pop("forward", None)


def _copies(model: PreTrainedModel) -> list[tuple[nn.Linear, torch.Tensor]]:
    if model.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return []
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return []
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    layers = [
        module
        for module in model.modules()
        if type(module) is nn.Linear
        and module is not head
        and module.weight.dtype == torch.bfloat16
        and "forward" not in vars(module)
    ]
    if sum(layer.weight.nbytes for layer in layers) > MOST_BYTES:
        return []
    return [(layer, torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach())) for layer in layers]


def _linear(arranged: torch.Tensor, bias: torch.Tensor | None, states: torch.Tensor) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(states, arranged, bias, "none", [], "")
    return product
