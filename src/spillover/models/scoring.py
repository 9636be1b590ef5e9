"""Log-likelihoods of answers, exactly, with everything that prompts share computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from spillover.models.packing import (
    Continuation,
    TokenTree,
    encode_prefix,
    fork,
    pack,
    packs,
    run,
    shares_state,
    with_answers,
)
from spillover.prompts.encoding import TokenIds, common_prefix_length
from spillover.records import FloatArray

if TYPE_CHECKING:
    from transformers import DynamicCache, PreTrainedModel

PACK_TOKENS = 512
"""Tokens of one packed pass: enough to fill a processor's matrix units, few enough that attention over pack-mates
(masked, but computed) stays small beside the linear layers."""


class PrefixCache:
    """The key-value cache of the last shared prefix, grown when the next one begins with it."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._token_ids: TokenIds = ()
        self._cache: DynamicCache | None = None

    def fork(self, token_ids: TokenIds) -> DynamicCache:
        """Return a cache of ``token_ids`` that may grow on its own."""
        known = len(self._token_ids)
        if token_ids[:known] != self._token_ids:
            known, self._cache = 0, None
        if self._cache is None or len(token_ids) > known:
            self._cache = encode_prefix(self._model, token_ids[known:], self._cache)
            self._token_ids = token_ids
        return fork(self._cache)


@torch.inference_mode()
def answer_log_likelihoods(
    model: PreTrainedModel,
    prompts: Sequence[TokenIds],
    answers: Sequence[Sequence[TokenIds]],
    *,
    prefixes: PrefixCache | None = None,
    pack_tokens: int = PACK_TOKENS,
) -> list[FloatArray]:
    """Return, for each prompt, the log-likelihood in nats of each of its answers.

    The log-likelihood of an answer is the sum over its tokens of log p(token | prompt, earlier tokens of the answer).

    Args:
        model: A causal language model in evaluation mode.
        prompts: Token ids of whole prompts.
        answers: Token ids of the answers of each prompt; their number may differ from prompt to prompt.
        prefixes: A cache of shared prefixes to reuse over calls.
        pack_tokens: Tokens of one packed pass; changes rounding only.
    """
    if len(prompts) != len(answers):
        raise ValueError(f"{len(prompts)} prompts came with {len(answers)} lists of answers")
    if not shares_state(model):
        return [_plain(model, prompt, of_prompt) for prompt, of_prompt in zip(prompts, answers, strict=True)]
    shared = common_prefix_length(prompts)
    prefixes = prefixes or PrefixCache(model)
    rows = [with_answers(prompt[shared:], of_prompt) for prompt, of_prompt in zip(prompts, answers, strict=True)]
    scores: list[FloatArray | None] = [None] * len(rows)
    for group in packs([len(tree) for tree, _ in rows], pack_tokens):
        members = [rows[index] for index in group]
        for index, row_scores in zip(group, _score_pack(model, members, prefixes, prompts[0][:shared]), strict=True):
            scores[index] = row_scores
    return [row_scores for row_scores in scores if row_scores is not None]


def _score_pack(
    model: PreTrainedModel,
    members: Sequence[tuple[TokenTree, list[Continuation]]],
    prefixes: PrefixCache,
    prefix: TokenIds,
) -> list[FloatArray]:
    packed = pack([tree for tree, _ in members], len(prefix), model.device)
    wanted = sorted(
        {
            offset + at
            for (_, answers), offset in zip(members, packed.offsets, strict=True)
            for a in answers
            for at in a.at
        }
    )
    line = {position: index for index, position in enumerate(wanted)}
    logits = run(model, packed, prefixes.fork(prefix), wanted)
    normaliser = logits.logsumexp(dim=-1)
    picks = [
        (line[offset + at], token)
        for (_, answers), offset in zip(members, packed.offsets, strict=True)
        for answer in answers
        for token, at in zip(answer.token_ids, answer.at, strict=True)
    ]
    lines, tokens = (torch.tensor(column, device=logits.device) for column in zip(*picks, strict=True))
    terms = (logits[lines, tokens] - normaliser[lines]).double().cpu().numpy()
    scores, start = [], 0
    for _, answers in members:
        values = []
        for answer in answers:
            values.append(terms[start : start + len(answer.token_ids)].sum())
            start += len(answer.token_ids)
        scores.append(np.array(values))
    return scores


def _plain(model: PreTrainedModel, prompt: TokenIds, answers: Sequence[TokenIds]) -> FloatArray:
    """Score one answer after the other, each in a pass of its own: the slow path that any model can take."""
    values = []
    for answer in answers:
        ids = torch.tensor([[*prompt, *answer]], device=model.device)
        logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].float()
        target = torch.tensor(answer, device=model.device)[:, None]
        values.append(float(logits.log_softmax(dim=-1).gather(1, target).double().sum()))
    return np.array(values)
