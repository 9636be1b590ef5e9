"""LoRA and its relatives (rsLoRA, DoRA, PiSSA, QLoRA): peft's own settings, passed through."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from spillover.errors import unknown_name
from spillover.models.precision import Precision
from spillover.settings import EACH_ONCE, ONE_OR_MORE
from spillover.training.parameters.selection import LAYER, Selection, Shapes

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spillover.models.adapters import TrainedAdapter


class Lora(Selection):
    """Train low-rank adapters of the linear layers, the base itself stays as it is (Hu et al. 2021)."""

    saves_adapter: ClassVar[bool] = True
    added_later: ClassVar[frozenset[str]] = frozenset({"bits", "base_precision"})
    kind: Literal["lora"] = "lora"
    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32, gt=0)
    """The update is scaled by alpha / rank, with ``use_rslora`` by alpha / sqrt(rank)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: Literal["all-linear"] | Annotated[tuple[str, ...], Field(min_length=1), ONE_OR_MORE, EACH_ONCE] = (
        "all-linear"
    )
    """Ends of the names of the adapted layers; ``all-linear`` is every one but the output embedding."""
    use_rslora: bool = False
    use_dora: bool = False
    init_lora_weights: Literal["default", "gaussian", "pissa"] = "default"
    """``pissa`` starts from the largest singular vectors of the weights and is saved as an ordinary adapter."""
    bits: Literal[4] | None = None
    """4 trains on a base whose linear layers are rounded to 4 bits (QLoRA, Dettmers et al. 2023), which needs a CUDA
    device and bitsandbytes. The adapter is evaluated, merged and exported on the base in full precision; only what is
    watched while training, and what a constraint compares with, is the rounded base."""
    base_precision: Literal["float32", "training"] = "float32"
    """``training`` holds the base in the precision that the study computes in, in bfloat16 half the memory; the adapter
    itself stays in float32."""

    @property
    def base_bits(self) -> Literal[4] | None:
        return self.bits

    def base_dtype(self, precision: Precision) -> Precision:
        return precision if self.base_precision == "training" else "float32"

    @property
    def update_scales(self) -> bool:
        return not self.use_dora

    def fault(self, shapes: Callable[[], Shapes]) -> str | None:
        if isinstance(self.target_modules, str):
            return None
        names = {name.removesuffix(".weight") for name, shape in shapes().items() if len(shape) == 2}
        for target in self.target_modules:
            if not any(f".{name}".endswith(f".{target}") for name in names):
                known = {name.rpartition(".")[2] for name in names if LAYER.search(f".{name}.")}
                return f"parameters.target_modules: {unknown_name('layer of the model', target, known)}"
        return None

    def select(self, model: PreTrainedModel, *, seed: int) -> TrainedAdapter:
        from spillover.models.adapters import add_adapter

        targets = self.target_modules if isinstance(self.target_modules, str) else list(self.target_modules)
        options: dict[str, object] = {
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "target_modules": targets,
            "use_rslora": self.use_rslora,
            "use_dora": self.use_dora,
            "init_lora_weights": True if self.init_lora_weights == "default" else self.init_lora_weights,
        }
        return add_adapter(model, options, seed=seed)

    def saved_weight_count(self, shapes: Shapes) -> int:
        rank = 2 * self.rank if self.init_lora_weights == "pissa" else self.rank
        matrices = [shape for name, shape in shapes.items() if LAYER.search(f".{name}") and len(shape) == 2]
        return sum(rank * (rows + columns) + (rows if self.use_dora else 0) for rows, columns in matrices)
