"""Greedy generation of a whole cell at once behind its shared prefix, dropping rows as they finish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from spillover.models.packing import attention_mask, chain, pack, packs, run, shares_state
from spillover.models.scoring import PACK_TOKENS, PrefixCache
from spillover.prompts.encoding import TokenIds, common_prefix_length

if TYPE_CHECKING:
    from transformers import DynamicCache, PreTrainedModel

ROW_TOKENS = 48_000
"""Cached tokens (rows x (prefix + query + new)) of one decoding batch; at 135M parameters about 2 GB in float32."""


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[TokenIds],
    *,
    max_new_tokens: int,
    end_token_id: int,
    is_finished: Callable[[list[int]], bool],
    prefixes: PrefixCache | None = None,
) -> list[TokenIds]:
    """Return the greedy continuation of each prompt, without the end token.

    Args:
        model: A causal language model in evaluation mode.
        prompts: Token ids of whole prompts.
        max_new_tokens: The most tokens a row may get.
        end_token_id: The token that ends a row.
        is_finished: Whether the new tokens of a row already hold its stop string.
        prefixes: A cache of shared prefixes to reuse over calls.
    """
    finish = _Finish(max_new_tokens, end_token_id, is_finished)
    if not shares_state(model):
        return [_plain(model, prompt, finish) for prompt in prompts]
    shared = common_prefix_length(prompts)
    prefixes = prefixes or PrefixCache(model)
    rows_cost = [len(prompt) + max_new_tokens for prompt in prompts]
    texts: list[TokenIds] = [()] * len(prompts)
    for group in packs(rows_cost, ROW_TOKENS):
        queries = [prompts[index][shared:] for index in group]
        for index, ids in zip(group, _decode(model, queries, prompts[0][:shared], prefixes, finish), strict=True):
            texts[index] = ids
    return texts


class _Finish:
    """When a row is done, and what of it is kept."""

    def __init__(self, max_new_tokens: int, end_token_id: int, is_finished: Callable[[list[int]], bool]) -> None:
        self.max_new_tokens = max_new_tokens
        self.end_token_id = end_token_id
        self._is_finished = is_finished

    def add(self, row: list[int], token: int) -> bool:
        """Add a token to a row; whether the row is now done."""
        if token == self.end_token_id:
            return True
        row.append(token)
        return len(row) >= self.max_new_tokens or self._is_finished(row)


def _decode(
    model: PreTrainedModel, queries: Sequence[TokenIds], prefix: TokenIds, prefixes: PrefixCache, finish: _Finish
) -> list[TokenIds]:
    cache, key_positions, seen, tokens = _prefill(model, queries, prefix, prefixes)
    rows: list[list[int]] = [[] for _ in queries]
    alive = list(range(len(queries)))
    positions = torch.tensor([len(prefix) + len(query) for query in queries], device=model.device)
    while True:
        going = [line for line, row in enumerate(alive) if not finish.add(rows[row], int(tokens[line]))]
        if not going:
            return [tuple(row) for row in rows]
        if len(going) < len(alive):
            keep = torch.tensor(going, device=model.device)
            cache.batch_select_indices(keep)
            key_positions, seen, tokens, positions = key_positions[keep], seen[keep], tokens[keep], positions[keep]
            alive = [alive[line] for line in going]
        place = positions[:, None]
        key_positions = torch.cat([key_positions, place], dim=1)
        seen = torch.cat([seen, torch.ones_like(place, dtype=torch.bool)], dim=1)
        output = model(
            input_ids=tokens[:, None],
            attention_mask=attention_mask(model, seen[:, None, None, :], place, key_positions),
            position_ids=place,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        tokens = output.logits[:, -1].argmax(dim=-1)
        positions = positions + 1


def _prefill(
    model: PreTrainedModel, queries: Sequence[TokenIds], prefix: TokenIds, prefixes: PrefixCache
) -> tuple[DynamicCache, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Run the queries in packs and hand out one cache line a row.

    Returns:
        The cache (rows, right-padded), the positions of its keys ``(b, k)``, which of them are real ``(b, k)``, and
        each row's first new token ``(b,)``.
    """
    from transformers import DynamicCache

    width = len(prefix) + max(len(query) for query in queries)
    firsts = torch.zeros(len(queries), dtype=torch.long, device=model.device)
    layers: list[list[tuple[torch.Tensor, torch.Tensor]]] = []
    order: list[int] = []
    for group in packs([len(query) for query in queries], PACK_TOKENS):
        packed = pack([chain(queries[row]) for row in group], len(prefix), model.device)
        cache = prefixes.fork(prefix)
        ends = [offset + len(queries[row]) - 1 for row, offset in zip(group, packed.offsets, strict=True)]
        firsts[group] = run(model, packed, cache, ends).argmax(dim=-1)
        index = torch.zeros(len(group), width, dtype=torch.long, device=model.device)
        index[:, : len(prefix)] = torch.arange(len(prefix))
        for line, (row, offset) in enumerate(zip(group, packed.offsets, strict=True)):
            count = len(queries[row])
            index[line, len(prefix) : len(prefix) + count] = len(prefix) + offset + torch.arange(count)
        layers.append([(_per_row(keys, index), _per_row(values, index)) for keys, values, *_ in cache])
        order.extend(group)
    back = torch.tensor(order, device=model.device).argsort()
    merged = DynamicCache()
    for number, parts in enumerate(zip(*layers, strict=True)):
        keys, values = (torch.cat(side)[back] for side in zip(*parts, strict=True))
        merged.update(keys, values, number)
    place = torch.arange(width, device=model.device).expand(len(queries), width)
    ends_at = torch.tensor([len(prefix) + len(query) for query in queries], device=model.device)
    return merged, place, place < ends_at[:, None], firsts


def _per_row(states: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return ``(b, heads, k, d)`` from packed ``(1, heads, n, d)`` by key indices ``(b, k)``."""
    return states[0][:, index].transpose(0, 1)


def _plain(model: PreTrainedModel, prompt: TokenIds, finish: _Finish) -> TokenIds:
    """Generate one row by running it whole for every token: the slow path that any model can take."""
    row: list[int] = []
    while True:
        ids = torch.tensor([[*prompt, *row]], device=model.device)
        if finish.add(row, int(model(input_ids=ids, use_cache=False).logits[0, -1].argmax())):
            return tuple(row)
