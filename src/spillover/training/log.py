"""What a training run did, step by step."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class TrainingLog:
    """What a training run did."""

    step_count: int
    losses: list[float] = field(default_factory=list)
    """Of each optimizer step, nats per target token of the variant's own rows."""
    target_token_count: int = 0
    forward_token_count: int = 0
    """Tokens of the variant's own rows pushed through the model, shared prefixes counted once a pass."""
    forgetting: list[dict[str, float]] = field(default_factory=list)
    """``step``, ``general_loss`` and ``kl_to_base``, from before the first step on, where the run is watched."""
    recipe_report: dict[str, object] = field(default_factory=dict)
    """What the recipe's constraint says of itself, see `Constraint.report`."""
