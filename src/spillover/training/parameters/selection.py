"""What every choice of trained weights has in common: selecting them in a model, and how much it saves."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from spillover.models.precision import Precision
from spillover.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spillover.models.adapters import TrainedAdapter

LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")
"""The number of a decoder layer in a parameter's name."""

Shapes = Mapping[str, tuple[int, ...]]
"""Names of saved tensors to their shapes."""


class Selection(Settings):
    """Which weights are trained."""

    saves_adapter: ClassVar[bool] = False
    """Whether a trained variant is kept as an adapter beside its base instead of as a whole model."""

    @property
    def base_bits(self) -> Literal[4] | None:
        """To how many bits the base is rounded while it is trained on; None leaves it in float32."""
        return None

    def base_dtype(self, precision: Precision) -> Precision:
        """Return in what the base's weights are held while it is trained on; ``precision`` is what passes compute in.

        Weights that are trained themselves lose small updates in fewer bits.
        """
        return "float32"

    @property
    def update_scales(self) -> bool:
        """Whether an adapter's update is proportional to one of its factors; that of DoRA is not."""
        return self.saves_adapter

    def select(self, model: PreTrainedModel, *, seed: int) -> TrainedAdapter | None:
        """Leave only the chosen weights trainable; return the adapter where there is one.

        ``seed`` decides the first values of weights that the model does not have.
        """
        raise NotImplementedError

    def fault(self, shapes: Callable[[], Shapes]) -> str | None:
        """Return what the choice names that a model with these tensors does not have, if anything."""
        return None

    def saved_weight_count(self, shapes: Shapes) -> int:
        """Return about how many weights a trained variant of a model with these tensors writes to disk."""
        return sum(math.prod(shape) for shape in shapes.values())


def embedding_weights(model: PreTrainedModel) -> set[int]:
    """Return the identities of the weights of input and output embeddings, which may be one tensor."""
    modules = (model.get_input_embeddings(), model.get_output_embeddings())  # type: ignore[no-untyped-call]
    return {id(weight) for module in modules if module is not None for weight in module.parameters()}
