"""How a variant learns: the recipe's slots and the settings of the training loop, as frozen data."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from spillover.prompts.demonstrations import choose, draw
from spillover.records import Example
from spillover.settings import Settings
from spillover.tasks.mixture import Mixture
from spillover.training.afterwards.dare import Dare
from spillover.training.afterwards.graft import Graft
from spillover.training.afterwards.interpolate import Interpolate
from spillover.training.afterwards.lora_scale import LoraScale
from spillover.training.afterwards.none import Unchanged
from spillover.training.by_kind import by_kind
from spillover.training.constraints.generality_budget import GeneralityBudget
from spillover.training.constraints.half import HalfFineTuning
from spillover.training.constraints.kl import KL
from spillover.training.constraints.l2_sp import L2SP
from spillover.training.constraints.magnitude_mask import MagnitudeMask
from spillover.training.constraints.none import Unconstrained
from spillover.training.constraints.random_mask import RandomMask
from spillover.training.constraints.replay import Replay
from spillover.training.constraints.spider import Spider
from spillover.training.optimization import TrainingSettings
from spillover.training.parameters.full import Full
from spillover.training.parameters.last_layers import LastLayers
from spillover.training.parameters.lora import Lora


class Demonstrations(Settings):
    """Fine-tuning with in-context learning (FTICL): demonstrations before every training row."""

    shorthand: ClassVar[str] = "count"
    added_later: ClassVar[frozenset[str]] = frozenset({"resampled"})
    count: int = Field(ge=0)
    """Demonstrations prepended to every row; 0 is plain fine-tuning."""
    seed: int = 0
    """Which demonstrations; 0 takes the first of the pool. Of ``resampled`` ones, which draws."""
    resampled: bool = False
    """Whether each row gets its own draw from the pool, in place of the paper's same ones before every row."""

    @model_validator(mode="after")
    def _something_is_drawn(self) -> Self:
        if self.resampled and not self.count:
            raise ValueError("resampled needs a count of at least 1; with 0 there is nothing to draw")
        return self

    def chosen_from(self, pool: Sequence[Example]) -> Sequence[Example] | Callable[[Example], Sequence[Example]]:
        """Return the demonstrations of every row, or what draws those of one."""
        if self.resampled:
            return partial(draw, pool, self.count, seed=self.seed)
        return choose(pool, self.count, seed=self.seed)


Parameters = Annotated[
    Full | LastLayers | Lora, Field(discriminator="kind"), by_kind("parameters", Full, LastLayers, Lora)
]
AnyConstraint = Annotated[
    Unconstrained | Spider | MagnitudeMask | RandomMask | HalfFineTuning | L2SP | KL | Replay | GeneralityBudget,
    Field(discriminator="kind"),
    by_kind(
        "constraint",
        Unconstrained,
        Spider,
        MagnitudeMask,
        RandomMask,
        HalfFineTuning,
        L2SP,
        KL,
        Replay,
        GeneralityBudget,
    ),
]
AnyChange = Annotated[
    Unchanged | Interpolate | LoraScale | Dare | Graft,
    Field(discriminator="kind"),
    by_kind("afterwards", Unchanged, Interpolate, LoraScale, Dare, Graft),
]


class Recipe(Settings):
    """What makes one way of fine-tuning different from another; every slot has a plain default."""

    demonstrations: Demonstrations = Demonstrations(count=0)
    parameters: Parameters = Full()
    constraint: AnyConstraint = Unconstrained()
    afterwards: AnyChange = Unchanged()

    @model_validator(mode="after")
    def _slots_agree(self) -> Self:
        if fault := _contradiction(self.parameters, self.constraint, self.afterwards):
            raise ValueError(fault)
        return self

    def training_identity(self) -> dict[str, Any]:
        """Return, as plain data, what decides the trained weights: every slot but the one done afterwards.

        A slot that is left at its plain default is not named, so that a new slot changes no earlier identity.
        """
        slots = {"parameters": self.parameters, "constraint": self.constraint}
        plain = {"parameters": Full(), "constraint": Unconstrained()}
        named = {name: slot.identity() for name, slot in slots.items() if slot != plain[name]}
        return {"demonstrations": self.demonstrations.identity(), **named}


def _contradiction(parameters: Settings, constraint: Settings, change: Settings) -> str | None:
    """Return why two slots of a recipe cannot go together, if they cannot."""
    lora = parameters if isinstance(parameters, Lora) else None
    if lora and constraint.masks_weights:  # type: ignore[attr-defined]
        return (
            f"constraint {constraint.kind!r} and parameters 'lora' contradict each other: it chooses among the base's "  # type: ignore[attr-defined]
            "own weights, and an adapter's factors start at zero or at random; use parameters 'full' or 'last-layers'"
        )
    if lora and isinstance(constraint, L2SP) and (lora.use_dora or lora.init_lora_weights == "pissa"):
        named = "use_dora" if lora.use_dora else "init_lora_weights 'pissa'"
        return f"constraint 'l2-sp' needs the update as B x A, which {named} changes; use plain lora"
    if lora and lora.dropout and isinstance(constraint, KL):
        return "constraint 'kl' and dropout contradict each other: dropout alone moves predictions; set dropout: 0"
    if lora and lora.dropout and lora.init_lora_weights == "pissa":
        return (
            "init_lora_weights 'pissa' and dropout contradict each other: dropout would hide parts of the base itself"
        )
    if lora and lora.bits and (lora.use_dora or lora.init_lora_weights == "pissa"):
        named = "use_dora" if lora.use_dora else "init_lora_weights 'pissa'"
        return (
            f"bits and {named} contradict each other: it takes its first values from the base's weights, which are "
            "rounded here and in full precision where the adapter is evaluated; leave one of the two out"
        )
    if lora and lora.base_precision == "training" and (lora.bits or lora.use_dora or lora.init_lora_weights == "pissa"):
        named = "bits" if lora.bits else "use_dora" if lora.use_dora else "init_lora_weights 'pissa'"
        return (
            f"base_precision 'training' and {named} contradict each other: it takes the base's weights in float32; "
            "leave one of the two out"
        )
    if isinstance(change, LoraScale):
        if not lora:
            return "afterwards 'lora-scale' needs parameters 'lora'; for other weights use 'interpolate'"
        if lora.use_dora:
            return "afterwards 'lora-scale' and use_dora contradict each other: its update does not scale with B x A"
    return None


def contradiction_with_training(recipe: Recipe, training: TrainingSettings) -> str | None:
    """Return why a recipe cannot be trained with these settings, if it cannot."""
    if training.weight_decay and isinstance(recipe.constraint, Spider | L2SP):
        return (
            f"constraint {recipe.constraint.kind!r} and training.weight_decay contradict each other: one pulls towards "
            "the base's weights, the other towards zero; set weight_decay: 0"
        )
    return None


def contradiction_with_stages(mixture: Mixture, recipe: Recipe, training: TrainingSettings) -> str | None:
    """Return why weights cannot be trained so in two stages, if they cannot."""
    if mixture.order == "joint":
        return None
    if recipe.constraint != Unconstrained():
        return (
            f"order 'sequential' and constraint {recipe.constraint.kind!r} contradict each other: the second stage "
            "would be held to the first stage's weights, not to the base's; use order 'joint'"
        )
    if training.max_steps is not None:
        return (
            "order 'sequential' and training.max_steps contradict each other: each stage would be cut at them; remove "
            "max_steps"
        )
    return None


def needs_whole_tensors(recipe: Recipe, settings: TrainingSettings) -> str | None:
    """Return what of a training, as the study file writes it, cannot do with parts of tensors, if anything."""
    if settings.optimizer != "adamw":
        return f"training.optimizer {settings.optimizer}"
    if bits := recipe.parameters.base_bits:
        return f"parameters.bits {bits}"
    if recipe.parameters.base_dtype("bfloat16") != "float32":
        return "parameters.base_precision"
    return f"constraint {recipe.constraint.kind!r}" if recipe.constraint.needs_whole_tensors else None
