"""The plain path in float32, against which fast paths are measured: one item at a time, no cache, nothing shared."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from spillover.prompts.encoding import TokenIds
from spillover.records import FloatArray

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def in_float32(model: PreTrainedModel) -> PreTrainedModel | None:
    """Return the model itself if its weights are float32, else an upcast copy; None if memory has no room for it."""
    if model.dtype == torch.float32:
        return model
    try:
        # A copy, because casting back would also round what is kept in float32 on purpose, such as rotary frequencies.
        upcast: PreTrainedModel = copy.deepcopy(model).float()  # type: ignore[no-untyped-call]
    except torch.OutOfMemoryError:
        return None
    return upcast


@torch.inference_mode()
def plain_log_likelihoods(model: PreTrainedModel, prompt: TokenIds, answers: Sequence[TokenIds]) -> FloatArray:
    """Return the log-likelihood in nats of each answer to one prompt, each from a forward pass over its whole text.

    Answers that differ in their last token only share a pass, since that token is predicted and never read.
    """
    log_shares: dict[TokenIds, torch.Tensor] = {}
    values = []
    for answer in answers:
        read = tuple(answer[:-1])
        if read not in log_shares:
            log_shares[read] = _log_shares(model, (*prompt, *read), start=len(prompt) - 1)
        values.append(float(log_shares[read].gather(1, torch.tensor(answer)[:, None]).sum()))
    return np.array(values)


@torch.inference_mode()
def plain_next_token(model: PreTrainedModel, prompt: TokenIds) -> FloatArray:
    """Return the log-probability in nats of every token after one prompt, ``(vocabulary,)``."""
    return np.asarray(_log_shares(model, prompt, start=len(prompt) - 1)[0].numpy(), dtype=np.float64)


def _log_shares(model: PreTrainedModel, token_ids: TokenIds, *, start: int) -> torch.Tensor:
    """Return ``(n, vocabulary)``: what is predicted at each position from ``start`` on."""
    logits = model(input_ids=torch.tensor([token_ids], device=model.device), use_cache=False).logits[0, start:]
    return torch.as_tensor(logits.cpu().double().log_softmax(dim=-1))
