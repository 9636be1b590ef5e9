"""How far a variant's hidden states and predictions are from the base's on the same text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from spillover.prompts.encoding import TokenIds

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class FunctionDrift:
    """What a model computes on probe text, against its base."""

    row_count: int
    token_count: int
    kl_to_base: float
    """Mean over tokens of KL(base || variant) of the next token's distribution, in nats."""
    similarity: tuple[float, ...]
    """Linear CKA of the hidden states after the embedding and after each layer, 0..1."""


@torch.inference_mode()
def function_drift(variant: PreTrainedModel, base: PreTrainedModel, rows: Sequence[TokenIds]) -> FunctionDrift:
    """Run both models over rows of token ids, one row at a time.

    The first token of a row is left out of the similarity: models park attention on it, with hidden states so large
    (Sun et al. 2024, arXiv 2402.17762) that nothing else would count.
    """
    divergence = 0.0
    states: list[tuple[list[Tensor], list[Tensor]]] = []
    for row in rows:
        (logits, hidden), (base_logits, base_hidden) = _outputs(variant, row), _outputs(base, row)
        both = min(logits.shape[-1], base_logits.shape[-1])  # a resized vocabulary is compared on the words both have
        now = logits[:, :both].double().log_softmax(dim=-1)
        before = base_logits[:, :both].double().log_softmax(dim=-1)
        divergence += float((before.exp() * (before - now)).sum())
        states.append((hidden, base_hidden))
    token_count = sum(len(row) for row in rows)
    similarity = tuple(
        linear_cka(torch.cat([own[depth] for own, _ in states]), torch.cat([other[depth] for _, other in states]))
        for depth in range(len(states[0][0]))
    )
    return FunctionDrift(len(rows), token_count, divergence / token_count, similarity)


def linear_cka(one: Tensor, other: Tensor) -> float:
    """Return the linear centered kernel alignment of features ``(n, p)`` and ``(n, q)`` of the same n tokens.

    ``||Y'X||^2 / (||X'X|| ||Y'Y||)`` of centered columns (Kornblith et al. 2019, equation 3 and section 3); 1 for equal
    features and for rotated or rescaled ones. With few tokens unrelated features also score above 0.
    """
    one, other = one.double() - one.double().mean(dim=0), other.double() - other.double().mean(dim=0)
    shared, own, others = (
        float(torch.linalg.matrix_norm(a.T @ b)) for a, b in ((other, one), (one, one), (other, other))
    )
    return shared**2 / (own * others)


def _outputs(model: PreTrainedModel, row: TokenIds) -> tuple[Tensor, list[Tensor]]:
    """Return the logits ``(tokens, vocabulary)`` and each depth's hidden states ``(tokens - 1, width)`` of a row."""
    ids = torch.tensor([row], device=model.device)
    output = model(input_ids=ids, use_cache=False, output_hidden_states=True)
    return output.logits[0], [state[0, 1:] for state in output.hidden_states]
