"""Log-likelihoods of answers, exactly, with everything that prompts share computed once."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from spillover.models.memory import GPU_SHARE
from spillover.models.packing import (
    Continuation,
    Pack,
    encode_prefix,
    fork,
    pack,
    packs,
    pieces,
    run,
    shares_state,
    with_answers,
)
from spillover.models.weight_layout import ArrangedWeights
from spillover.prompts.encoding import TokenIds, common_prefix_length
from spillover.records import FloatArray

if TYPE_CHECKING:
    from transformers import DynamicCache, PreTrainedModel

PACK_TOKENS = {"cpu": 512, "cuda": 4096}
"""Tokens of one packed pass by type of device: enough to fill its matrix units, few enough that attention over
pack-mates (masked, but computed) stays small beside the linear layers."""


PREFIX_CHUNK_TOKENS = 64
"""A prefix is encoded in chunks of so many tokens, however much of it is known already, so that its cache is the same
to the last bit whether it was grown or encoded at once."""


def device_pack_tokens(model: PreTrainedModel, gpu_share: float = GPU_SHARE) -> int:
    """Return how many tokens a packed pass has where the model is: fewer on a GPU of which less may be taken."""
    least = PACK_TOKENS["cpu"]
    return max(least, int(PACK_TOKENS.get(model.device.type, least) * min(1, gpu_share / GPU_SHARE)))


class PrefixCache:
    """The key-value cache of the last shared prefix, whose whole chunks are kept when the next one begins with them.

    Like the arranged weights, it holds as long as the model's weights stay what they are.

    Args:
        model: Whose prefixes they are.
        gpu_share: Of the free memory of a CUDA device, what passes behind the prefix may take.
    """

    def __init__(self, model: PreTrainedModel, gpu_share: float = GPU_SHARE) -> None:
        self.gpu_share = gpu_share
        self.weights = ArrangedWeights(model)
        self._model = model
        self._token_ids: TokenIds | None = None
        self._cache: DynamicCache | None = None
        self._chunk_ids: TokenIds = ()
        self._chunks: DynamicCache | None = None

    def fork(self, token_ids: TokenIds) -> DynamicCache:
        """Return a cache of ``token_ids`` that may grow on its own."""
        if token_ids != self._token_ids:
            whole = len(token_ids) - len(token_ids) % PREFIX_CHUNK_TOKENS
            if token_ids[: min(whole, len(self._chunk_ids))] != self._chunk_ids:
                self._chunk_ids, self._chunks = (), None
            for start in range(len(self._chunk_ids), whole, PREFIX_CHUNK_TOKENS):
                chunk = token_ids[start : start + PREFIX_CHUNK_TOKENS]
                self._chunks = encode_prefix(self._model, chunk, self._chunks)
            self._chunk_ids = token_ids[:whole]
            self._cache = encode_prefix(self._model, token_ids[whole:], self._chunks)
            self._token_ids = token_ids
        return fork(self._cache)


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """What the answers of one prompt score."""

    log_likelihoods: FloatArray
    """``(answers,)`` in nats."""
    is_greedy: NDArray[np.bool_]
    """``(answers,)``: whether every token of the answer is the model's own first choice."""


def answer_log_likelihoods(
    model: PreTrainedModel,
    prompts: Sequence[TokenIds],
    answers: Sequence[Sequence[TokenIds]],
    *,
    prefixes: PrefixCache | None = None,
    pack_tokens: int | None = None,
) -> list[FloatArray]:
    """Return, for each prompt, the log-likelihood in nats of each of its answers; see `answer_scores`."""
    scores = answer_scores(model, prompts, answers, prefixes=prefixes, pack_tokens=pack_tokens)
    return [row.log_likelihoods for row in scores]


def answer_scores(
    model: PreTrainedModel,
    prompts: Sequence[TokenIds],
    answers: Sequence[Sequence[TokenIds]],
    *,
    prefixes: PrefixCache | None = None,
    pack_tokens: int | None = None,
) -> list[AnswerScores]:
    """Return, for each prompt, what each of its answers scores.

    The log-likelihood of an answer is the sum over its tokens of log p(token | prompt, earlier tokens of the answer).

    Args:
        model: A causal language model in evaluation mode.
        prompts: Token ids of whole prompts.
        answers: Token ids of the answers of each prompt; their number may differ from prompt to prompt.
        prefixes: A cache of shared prefixes to reuse over calls.
        pack_tokens: Tokens of one packed pass, by default what suits the device; changes rounding only. A longer row is
            run in pieces of this size.
    """
    scores: dict[int, AnswerScores] = {}
    for batch in answer_score_batches(model, prompts, answers, prefixes=prefixes, pack_tokens=pack_tokens):
        scores |= batch
    return [scores[index] for index in range(len(prompts))]


@torch.inference_mode()
def answer_score_batches(
    model: PreTrainedModel,
    prompts: Sequence[TokenIds],
    answers: Sequence[Sequence[TokenIds]],
    *,
    known: Container[int] = (),
    prefixes: PrefixCache | None = None,
    pack_tokens: int | None = None,
) -> Iterator[dict[int, AnswerScores]]:
    """Yield what `answer_scores` returns batch by batch: index of a prompt to what its answers score.

    Args:
        known: Indices of prompts whose scores are known already. A batch of nothing else is left out; which prompts
            are computed together, and so every bit of the others, stays the same.
    """
    if len(prompts) != len(answers):
        raise ValueError(f"{len(prompts)} prompts came with {len(answers)} lists of answers")
    if not shares_state(model):
        for index, (prompt, of_prompt) in enumerate(zip(prompts, answers, strict=True)):
            if index not in known:
                yield {index: _plain(model, prompt, of_prompt)}
        return
    prefixes = prefixes or PrefixCache(model)
    pack_tokens = pack_tokens or device_pack_tokens(model, prefixes.gpu_share)
    shared = common_prefix_length(prompts)
    rows = [with_answers(prompt[shared:], of_prompt) for prompt, of_prompt in zip(prompts, answers, strict=True)]
    for group in packs([len(tree) for tree, _ in rows], pack_tokens):
        if all(index in known for index in group):
            continue
        packed = pack([rows[index][0] for index in group], shared, model.device)
        continuations = [rows[index][1] for index in group]
        with prefixes.weights.in_use(passes=1):
            cache = prefixes.fork(prompts[0][:shared])
            terms, first_choices = _terms(model, packed, continuations, cache, pack_tokens)
        yield dict(zip(group, _sums(continuations, terms, first_choices), strict=True))


def _terms(
    model: PreTrainedModel,
    packed: Pack,
    continuations: Sequence[Sequence[Continuation]],
    cache: DynamicCache,
    piece_tokens: int,
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the log-probability of every token of every answer in turn, and whether it is the first choice."""
    picks = [
        (offset + at, token)
        for of_row, offset in zip(continuations, packed.offsets, strict=True)
        for answer in of_row
        for token, at in zip(answer.token_ids, answer.at, strict=True)
    ]
    places, tokens = np.array(picks, dtype=np.int64).reshape(-1, 2).T
    terms, first_choices = np.zeros(len(picks)), np.zeros(len(picks), dtype=np.bool_)
    for start, piece in pieces(packed, piece_tokens):
        here = (places >= start) & (places < start + piece.token_ids.shape[1])
        wanted, line = np.unique(places[here] - start, return_inverse=True)
        logits = run(model, piece, cache, wanted.tolist() or [0])
        lines, chosen = torch.from_numpy(line).to(logits.device), torch.from_numpy(tokens[here]).to(logits.device)
        terms[here] = (logits[lines, chosen] - logits.logsumexp(dim=-1)[lines]).double().cpu().numpy()
        first_choices[here] = (logits.argmax(dim=-1)[lines] == chosen).cpu().numpy()
    return terms, first_choices


def _sums(
    continuations: Sequence[Sequence[Continuation]], terms: FloatArray, first_choices: NDArray[np.bool_]
) -> list[AnswerScores]:
    scores, start = [], 0
    for of_row in continuations:
        ends = start + np.cumsum([0, *(len(answer.token_ids) for answer in of_row)])
        spans = [slice(*span) for span in pairwise(ends)]
        scores.append(
            AnswerScores(
                np.array([terms[span].sum() for span in spans]),
                np.array([first_choices[span].all() for span in spans], dtype=np.bool_),
            )
        )
        start = int(ends[-1])
    return scores


def _plain(model: PreTrainedModel, prompt: TokenIds, answers: Sequence[TokenIds]) -> AnswerScores:
    """Score one answer after the other, each in a pass of its own: the slow path that any model can take."""
    values, greedy = [], []
    for answer in answers:
        ids = torch.tensor([[*prompt, *answer]], device=model.device)
        logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].float()
        target = torch.tensor(answer, device=model.device)[:, None]
        values.append(float(logits.log_softmax(dim=-1).gather(1, target).double().sum()))
        greedy.append(bool((logits.argmax(dim=-1) == target[:, 0]).all()))
    return AnswerScores(np.array(values), np.array(greedy, dtype=np.bool_))
