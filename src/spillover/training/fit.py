"""The one training loop: exact shared-prefix fine-tuning over accelerate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from spillover.errors import SpilloverError
from spillover.models.packing import chain, encode_prefix, pack, packs, run
from spillover.training.checkpoints import Checkpoints, RunState
from spillover.training.constraints.constraint import Constraint, Training
from spillover.training.constraints.timed import TimedConstraint
from spillover.training.probe import ForgettingProbe, Watch
from spillover.training.rows import TrainingRow, TrainingRows
from spillover.training.settings import TrainingSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Progress = Callable[[int, int, float], None]
"""Called after every optimizer step with the step's number, the number of steps and its loss."""


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


class SharedPrefixLogits(nn.Module):
    """Next-token logits of a pack of rows behind one shared prefix, which is encoded once and back-propagated through.

    Prefix and rows are computed in one ``forward`` so that autocast and gradient hooks see all of it.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, rows: Sequence[TrainingRow], shared: int) -> torch.Tensor:
        """Return the logits ``(target tokens, vocabulary)`` in float32; rows share their first ``shared`` ids."""
        trees = [chain((*row.prompt[shared:], *row.target[:-1])) for row in rows]
        packed = pack(trees, shared, self.model.device)
        wanted = [
            offset + len(row.prompt) - shared - 1 + index
            for row, offset in zip(rows, packed.offsets, strict=True)
            for index in range(len(row.target))
        ]
        return run(self.model, packed, encode_prefix(self.model, rows[0].prompt[:shared]), wanted)


def summed_loss(logits: torch.Tensor, rows: Sequence[TrainingRow]) -> torch.Tensor:
    """Return the sum over target tokens of the cross-entropy in nats."""
    targets = torch.tensor([token for row in rows for token in row.target], dtype=torch.long, device=logits.device)
    return nn.functional.cross_entropy(logits, targets, reduction="sum")


def fit(
    model: PreTrainedModel,
    data: TrainingRows,
    settings: TrainingSettings,
    *,
    seed: int,
    precision: str = "float32",
    constraint: Constraint | None = None,
    watch: Watch | None = None,
    checkpoints: Checkpoints | None = None,
    progress: Progress | None = None,
) -> TrainingLog:
    """Fine-tune the trainable weights of ``model`` in place.

    The loss of an optimizer step is the mean over all target tokens of its rows, however they are packed. Weights stay
    float32; ``precision="bfloat16"`` computes under autocast.

    Args:
        model: The base, whose weights the recipe's parameters have been chosen from.
        data: The rows to learn.
        settings: Of the optimization.
        seed: Of the order of rows and of dropout.
        precision: What passes are computed in.
        constraint: What the recipe adds to the loop.
        watch: How often, and on which text, forgetting is measured; changes no weight.
        checkpoints: Where the run is saved on its way, and where a killed one is found again.
        progress: Called after every step.

    Raises:
        SpilloverError: If a batch has no target token or a loss is not finite.
    """
    if model.dtype != torch.float32:
        raise SpilloverError(f"training needs float32 weights, got {model.dtype}; small updates are lost in fewer bits")
    torch.manual_seed(seed)
    accelerator = Accelerator(
        cpu=model.device.type == "cpu", mixed_precision="bf16" if precision == "bfloat16" else "no"
    )
    step_count = settings.step_count(len(data.rows))
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    optimizer = torch.optim.AdamW(
        weights.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / step_count)
    logits, optimizer = accelerator.prepare(SharedPrefixLogits(model), optimizer)
    hidden_size = model.config.get_text_config(decoder=True).hidden_size
    pack_tokens = best_pack_tokens(hidden_size, data.shared_prefix_length)
    log = TrainingLog(step_count)
    rule = TimedConstraint(constraint or Constraint())
    rule.begin(Training(model, weights, logits, settings.batch_size, step_count, seed))
    probe = ForgettingProbe(model, logits, watch.rows, watch.base) if watch else None
    run_state = RunState(weights, optimizer, schedule, rule.constraint, log)
    done = checkpoints.restore(run_state) if checkpoints else 0
    for step, batch in islice(enumerate(batches(data.rows, settings, seed=seed)), done, step_count):
        if probe and watch and step % watch.every == 0:
            log.forgetting.append({"step": step, **probe.measure()})
        model.train()
        rule.before_step(step, accelerator.backward)
        loss = _accumulate(accelerator, logits, batch, data.shared_prefix_length, pack_tokens, log)
        if not math.isfinite(loss):
            raise SpilloverError(
                f"the loss is {loss} at step {step + 1} of {step_count}; lower training.learning_rate "
                f"(now {settings.learning_rate:g})"
            )
        accelerator.clip_grad_norm_(weights.values(), settings.max_gradient_norm)
        optimizer.step()
        schedule.step()
        goes_on = rule.after_step(step)
        optimizer.zero_grad()
        log.losses.append(loss)
        if progress:
            progress(step + 1, step_count, loss)
        if not goes_on:
            break
        if checkpoints and step + 1 < step_count:
            checkpoints.save_if_due(run_state, step + 1)
    rule.end()
    if probe:
        log.forgetting.append({"step": len(log.losses), **probe.measure()})
    log.step_count = len(log.losses)
    log.recipe_report = rule.report(model, weights)
    model.train(False)
    return log


def _accumulate(
    accelerator: Accelerator,
    logits: nn.Module,
    batch: Sequence[TrainingRow],
    prefix_length: int,
    pack_tokens: int,
    log: TrainingLog,
) -> float:
    """Back-propagate the mean loss over the batch's target tokens, pack by pack; return it."""
    target_count = sum(len(row.target) for row in batch)
    if not target_count:
        raise SpilloverError(f"a batch of {len(batch)} rows has no target token to learn")
    total = 0.0
    for group in packs([len(row) - prefix_length for row in batch], pack_tokens):
        rows = [batch[index] for index in group]
        loss = summed_loss(logits(rows, prefix_length), rows)
        accelerator.backward(loss / target_count)
        total += float(loss.detach())
        log.forward_token_count += prefix_length + sum(len(row) - prefix_length - 1 for row in rows)
    log.target_token_count += target_count
    return total / target_count


def batches(rows: Sequence[TrainingRow], settings: TrainingSettings, *, seed: int) -> Iterator[list[TrainingRow]]:
    """Yield the rows of each optimizer step; the order is a pure function of the seed, the epoch and the row count."""
    for epoch in range(settings.epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(rows))
        for start in range(0, len(rows), settings.batch_size):
            yield [rows[index] for index in order[start : start + settings.batch_size]]


def best_pack_tokens(hidden_size: int, prefix_length: int) -> int:
    """Return the pack size that costs least.

    Splitting rows into packs of n tokens repeats the prefix of P tokens, which costs about 24 h^2 P / n operations a
    token and layer, while attention over pack-mates costs 4 h n; their sum is least at n = sqrt(6 h P). Every pack
    also adds a full set of gradients to memory, so a pack has at least 1024 tokens.
    """
    return min(max(1024, round(math.sqrt(6 * hidden_size * prefix_length))), 4096)
