"""The one training loop: exact shared-prefix fine-tuning over accelerate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from spillover.errors import SpilloverError
from spillover.models.packing import chain, encode_prefix, pack, packs, run
from spillover.prompts.encoding import TokenIds
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
    """Of each optimizer step, nats per target token."""
    target_token_count: int = 0
    forward_token_count: int = 0
    """Tokens pushed through the model, shared prefixes counted once a pass."""


class SharedPrefixLoss(nn.Module):
    """The summed loss of a pack of rows behind one shared prefix, which is encoded once and back-propagated through.

    Prefix, rows and loss are computed in one ``forward`` so that autocast and gradient hooks see all of it.
    """

    def __init__(self, model: PreTrainedModel, prefix: TokenIds) -> None:
        super().__init__()
        self.model = model
        self._prefix = prefix

    def forward(self, rows: Sequence[TrainingRow]) -> torch.Tensor:
        """Return the sum over target tokens of the cross-entropy in nats."""
        shared = len(self._prefix)
        trees = [chain((*row.prompt[shared:], *row.target[:-1])) for row in rows]
        packed = pack(trees, shared, self.model.device)
        wanted = [
            offset + len(row.prompt) - shared - 1 + index
            for row, offset in zip(rows, packed.offsets, strict=True)
            for index in range(len(row.target))
        ]
        targets = torch.tensor(
            [token for row in rows for token in row.target], dtype=torch.long, device=self.model.device
        )
        logits = run(self.model, packed, encode_prefix(self.model, self._prefix), wanted)
        return nn.functional.cross_entropy(logits, targets, reduction="sum")


def fit(
    model: PreTrainedModel,
    data: TrainingRows,
    settings: TrainingSettings,
    *,
    seed: int,
    precision: str = "float32",
    progress: Progress | None = None,
) -> TrainingLog:
    """Fine-tune ``model`` in place.

    The loss of an optimizer step is the mean over all target tokens of its rows, however they are packed. Weights stay
    float32; ``precision="bfloat16"`` computes under autocast.

    Raises:
        SpilloverError: If a batch has no target token or a loss is not finite.
    """
    if model.dtype != torch.float32:
        raise SpilloverError(f"training needs float32 weights, got {model.dtype}; small updates are lost in fewer bits")
    torch.manual_seed(seed)
    accelerator = Accelerator(mixed_precision="bf16" if precision == "bfloat16" else "no")
    step_count = settings.epochs * math.ceil(len(data.rows) / settings.batch_size)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / step_count)
    prefix = data.rows[0].prompt[: data.shared_prefix_length]
    loss_of, optimizer = accelerator.prepare(SharedPrefixLoss(model.train(), prefix), optimizer)
    pack_tokens = best_pack_tokens(model.config.get_text_config(decoder=True).hidden_size, len(prefix))
    log = TrainingLog(step_count)
    for step, batch in enumerate(batches(data.rows, settings, seed=seed)):
        loss = _accumulate(accelerator, loss_of, batch, len(prefix), pack_tokens, log)
        if not math.isfinite(loss):
            raise SpilloverError(
                f"the loss is {loss} at step {step + 1} of {step_count}; lower training.learning_rate "
                f"(now {settings.learning_rate:g})"
            )
        accelerator.clip_grad_norm_(model.parameters(), settings.max_gradient_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        log.losses.append(loss)
        if progress:
            progress(step + 1, step_count, loss)
    model.train(False)
    return log


def _accumulate(
    accelerator: Accelerator,
    loss_of: nn.Module,
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
        loss = loss_of(rows)
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
