"""Fine-tuning of the last decoder layers only; everything below them and the final norm stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from spillover.errors import UserError
from spillover.training.parameters.selection import LAYER, Selection, Shapes, embedding_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class LastLayers(Selection):
    """Train the last decoder layers."""

    kind: Literal["last-layers"] = "last-layers"
    count: int = Field(default=2, ge=1)
    """Decoder layers that are trained, counted from the output."""
    embeddings: bool = False
    """Whether input and output embeddings are trained too."""

    def fault(self, shapes: Callable[[], Shapes]) -> str | None:
        depth = 1 + max((int(found[1]) for name in shapes() if (found := LAYER.search(f".{name}"))), default=-1)
        if self.count > depth:
            return f"parameters.count is {self.count}; the model has {depth} decoder layers; ask for at most that"
        return None

    def select(self, model: PreTrainedModel, *, seed: int) -> None:
        layers = {name: int(found[1]) for name, _ in model.named_parameters() if (found := LAYER.search(name))}
        depth = max(layers.values(), default=-1) + 1
        if self.count > depth:
            raise UserError(f"parameters.count is {self.count}; the model has {depth} decoder layers")
        chosen = embedding_weights(model) if self.embeddings else set()
        for name, weight in model.named_parameters():
            weight.requires_grad_(layers.get(name, -1) >= depth - self.count or id(weight) in chosen)
