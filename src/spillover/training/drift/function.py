"""How far a variant's hidden states and predictions are from the base's on the same text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from spillover.prompts.encoding import TokenIds

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    Output = tuple[Tensor, list[Tensor]]
    """Of one row: logits ``(tokens, vocabulary)`` and each depth's hidden states ``(tokens - 1, width)``."""


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
def outputs(model: PreTrainedModel, rows: Sequence[TokenIds]) -> Iterator[Output]:
    """Run a model over rows of token ids, one row at a time."""
    for row in rows:
        yield _output(model, row)


def function_drift(variant: Iterable[Output], base: Iterable[Output]) -> FunctionDrift:
    """Compare what two models compute on the same rows.

    The first token of a row is left out of the similarity: models park attention on it, with hidden states so large
    (Sun et al. 2024, arXiv 2402.17762) that nothing else would count.
    """
    divergence, token_count = 0.0, 0
    states: list[tuple[list[Tensor], list[Tensor]]] = []
    for (logits, hidden), (base_logits, base_hidden) in zip(variant, base, strict=True):
        both = min(logits.shape[-1], base_logits.shape[-1])  # a resized vocabulary is compared on the words both have
        now = logits[:, :both].double().log_softmax(dim=-1)
        before = base_logits[:, :both].double().log_softmax(dim=-1)
        divergence += float((before.exp() * (before - now)).sum())
        token_count += len(logits)
        states.append((hidden, base_hidden))
    similarity = tuple(
        linear_cka(torch.cat([own[depth] for own, _ in states]), torch.cat([other[depth] for _, other in states]))
        for depth in range(len(states[0][0]))
    )
    return FunctionDrift(len(states), token_count, divergence / token_count, similarity)


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


def _output(model: PreTrainedModel, row: TokenIds) -> Output:
    ids = torch.tensor([row], device=model.device)
    output = model(input_ids=ids, use_cache=False, output_hidden_states=True)
    return output.logits[0], [state[0, 1:] for state in output.hidden_states]
