"""The loop that fits an encoder with a head: AdamW over all weights, or over the head's alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import numpy as np
import torch

from spillover.errors import SpilloverError
from spillover.models.encoder import EncoderClassifier, Texts


class Optimization(Protocol):
    """What the loop reads of `training.supervised.EncoderSettings`, which says what each is."""

    train: Literal["all", "head"]
    epochs: int
    learning_rate: float
    batch_size: int
    weight_decay: float
    max_gradient_norm: float

    def step_count(self, row_count: int) -> int:
        """Return the optimizer steps on so many rows."""


def fit_encoder(
    classifier: EncoderClassifier,
    texts: Sequence[Texts],
    golds: Sequence[int],
    settings: Optimization,
    *,
    seed: int,
    progress: Callable[[float], None],
) -> list[float]:
    """Fit a classifier in place and return its losses, nats per row, one an optimizer step.

    Raises:
        SpilloverError: If a loss is not finite.
    """
    model = classifier.model
    if settings.train == "head":
        model.base_model.requires_grad_(False)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    step_count = settings.step_count(len(texts))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / step_count)
    torch.manual_seed(seed)  # of dropout
    model.train()
    if settings.train == "head":
        model.base_model.train(False)  # its features are the same in every pass
    losses: list[float] = []
    for epoch in range(settings.epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(texts))
        for start in range(0, len(order), settings.batch_size):
            rows = order[start : start + settings.batch_size]
            wanted = torch.tensor([golds[row] for row in rows], device=model.device)
            logits = model(**classifier.batch([texts[row] for row in rows])).logits
            loss = torch.nn.functional.cross_entropy(logits.float(), wanted)
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise SpilloverError(
                    f"the loss is {losses[-1]} at step {len(losses)} of {step_count}; lower "
                    f"supervised.learning_rate (now {settings.learning_rate:g})"
                )
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(trained, settings.max_gradient_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            progress(len(losses) / step_count)
    model.requires_grad_(True)
    model.train(False)
    return losses
