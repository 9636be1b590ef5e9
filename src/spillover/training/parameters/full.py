"""Full fine-tuning: every weight is trained, with or without the embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from spillover.training.parameters.selection import Selection, embedding_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Full(Selection):
    """Train every weight."""

    kind: Literal["full"] = "full"
    embeddings: bool = True
    """Whether input and output embeddings are trained too."""

    def select(self, model: PreTrainedModel, *, seed: int) -> None:
        if not self.embeddings:
            frozen = embedding_weights(model)
            for weight in model.parameters():
                weight.requires_grad_(id(weight) not in frozen)
