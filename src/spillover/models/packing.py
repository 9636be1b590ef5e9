"""Many rows in one forward pass: token trees laid side by side behind one shared prefix, without padding.

Every row attends to the shared prefix and to its own ancestors only, at its own positions, so a packed pass computes
what separate passes would, for scoring and for training alike. Answers that start alike share their first tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from spillover.errors import SpilloverError
from spillover.models.attention import RowLayout, any_shape, use_row_layouts
from spillover.prompts.encoding import TokenIds

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import DynamicCache, PreTrainedModel


@dataclass(frozen=True, slots=True)
class TokenTree:
    """A row of token ids that may branch: its trunk is the query, its branches are the answers to it.

    ``parents[i]`` is the index of the token before token ``i``, always below ``i``; the first token's is -1 (the
    shared prefix).
    """

    token_ids: tuple[int, ...]
    parents: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def is_chain(self) -> bool:
        """Whether nothing branches: every token comes after the one before it."""
        return self.parents == tuple(range(-1, len(self) - 1))

    def ancestors(self) -> NDArray[np.bool_]:
        """Return ``(n, n)``: whether token ``j`` is token ``i`` or comes before it on its path."""
        if self.is_chain:
            return np.tri(len(self), dtype=np.bool_)
        own = np.eye(len(self), dtype=np.bool_)
        for index, parent in enumerate(self.parents):
            if parent >= 0:
                own[index] |= own[parent]
        return own


@dataclass(frozen=True, slots=True)
class Continuation:
    """Where the token ids of one continuation are predicted: ``token_ids[i]`` by the logits at tree index ``at[i]``."""

    token_ids: TokenIds
    at: tuple[int, ...]


def chain(token_ids: TokenIds) -> TokenTree:
    """Return the tree without branches."""
    return TokenTree(token_ids, tuple(range(-1, len(token_ids) - 1)))


def with_answers(query: TokenIds, answers: Sequence[TokenIds]) -> tuple[TokenTree, list[Continuation]]:
    """Return the tree of a query and its answers as a trie, and where each answer's tokens are predicted.

    The last token of an answer predicts nothing, so it is in the tree only where a longer answer goes on from it.
    """
    ids, parents = list(query), list(range(-1, len(query) - 1))
    children: dict[tuple[int, int], int] = {}
    continuations = []
    for answer in answers:
        node, at = len(query) - 1, [len(query) - 1]
        for token in answer[:-1]:
            if (node, token) not in children:
                children[node, token] = len(ids)
                ids.append(token)
                parents.append(node)
            node = children[node, token]
            at.append(node)
        continuations.append(Continuation(tuple(answer), tuple(at)))
    return TokenTree(tuple(ids), tuple(parents)), continuations


def packs(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Group row indices into packs of at most ``token_budget`` tokens, longest rows first.

    A pure function of the lengths, so a cell is always computed in the same packs. A row longer than the budget is a
    pack of its own.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    groups: list[list[int]] = []
    room = 0
    for index in order:
        if not groups or lengths[index] > room:
            groups.append([])
            room = token_budget
        groups[-1].append(index)
        room -= lengths[index]
    return groups


@dataclass(frozen=True, slots=True)
class Pack:
    """The tensors of one packed pass over ``n`` tokens behind ``p`` cached ones."""

    token_ids: torch.Tensor
    """``(1, n)``"""
    positions: torch.Tensor
    """``(1, n)``, counted from the start of the shared prefix."""
    attention: torch.Tensor
    """``(1, 1, n, p + n)``, true where a token may look (sliding windows not yet applied)."""
    key_positions: torch.Tensor
    """``(p + n,)``"""
    offsets: tuple[int, ...]
    """Where each row's tree starts."""
    layout: RowLayout | None
    """What ``attention`` says, for attention that computes nothing it throws away; None for a piece of a pass."""


def pack(
    trees: Sequence[TokenTree],
    prefix_length: int,
    device: torch.device | str = "cpu",
    *,
    trunk: TokenIds = (),
) -> Pack:
    """Lay trees side by side behind ``prefix_length`` cached tokens and, in the same pass, a trunk that all share."""
    seen = prefix_length + len(trunk)
    sizes = [len(tree) for tree in trees]
    offsets = tuple(int(offset) for offset in np.cumsum([len(trunk), *sizes[:-1]]))
    total = len(trunk) + sum(sizes)
    attention = np.zeros((total, prefix_length + total), dtype=np.bool_)
    attention[:, :seen] = np.tri(total, seen, prefix_length, dtype=np.bool_)
    positions = np.arange(prefix_length, prefix_length + total)
    masks: list[torch.Tensor | None] = []
    for tree, offset, size in zip(trees, offsets, sizes, strict=True):
        own = tree.ancestors()
        attention[offset : offset + size, prefix_length + offset : prefix_length + offset + size] = own
        positions[offset : offset + size] = seen + own.sum(axis=1) - 1
        masks.append(None if tree.is_chain else torch.from_numpy(own).to(device))
    ids = np.concatenate([np.asarray(ids, dtype=np.int64) for ids in (trunk, *(tree.token_ids for tree in trees))])
    place = torch.from_numpy(positions).to(device)
    return Pack(
        torch.from_numpy(ids).to(device)[None],
        place[None],
        torch.from_numpy(attention).to(device)[None, None],
        torch.cat([torch.arange(prefix_length, device=device), place]),
        offsets,
        RowLayout(prefix_length, len(trunk), tuple(sizes), tuple(masks)),
    )


def pieces(packed: Pack, token_count: int) -> Iterator[tuple[int, Pack]]:
    """Yield the packed pass as passes of at most ``token_count`` tokens and where each starts.

    Run one after the other on the same cache they compute what the whole would: no token looks at a later one.
    """
    total = packed.token_ids.shape[1]
    prefix_length = len(packed.key_positions) - total
    for start in range(0, total, token_count):
        stop = min(start + token_count, total)
        keys = prefix_length + stop
        yield (
            start,
            Pack(
                packed.token_ids[:, start:stop],
                packed.positions[:, start:stop],
                packed.attention[:, :, start:stop, :keys],
                packed.key_positions[:keys],
                packed.offsets if stop - start == total else (),
                packed.layout if stop - start == total else None,
            ),
        )


Mask = torch.Tensor | dict[str, torch.Tensor]


def attention_mask(
    model: PreTrainedModel, attention: torch.Tensor, positions: torch.Tensor, key_positions: torch.Tensor
) -> Mask:
    """Return the mask in the form a model takes, with its sliding windows applied by position.

    Args:
        model: A decoder whose attention implementation is ``sdpa`` or ``eager``.
        attention: ``(b, 1, q, k)``, true where a query may look.
        positions: ``(b, q)`` of the queries.
        key_positions: ``(k,)`` or ``(b, k)`` of the keys.
    """
    layer_types = getattr(model.config.get_text_config(decoder=True), "layer_types", None)
    window = _sliding_window(model)
    full = _mask_values(model, attention)
    if not window:
        return full
    keys = key_positions if key_positions.dim() == 2 else key_positions[None]
    near = (positions[:, :, None] - keys[:, None, :] < window)[:, None]
    sliding = _mask_values(model, attention & near)
    return {"full_attention": full, "sliding_attention": sliding} if layer_types else sliding


def _sliding_window(model: PreTrainedModel) -> int | None:
    """Return how many positions the sliding layers see, if there are such layers."""
    config = model.config.get_text_config(decoder=True)
    layer_types = getattr(config, "layer_types", None)
    slides = not layer_types or "sliding_attention" in layer_types
    return getattr(config, "sliding_window", None) if slides else None


def _mask_values(model: PreTrainedModel, attention: torch.Tensor) -> torch.Tensor:
    if model.config._attn_implementation == "sdpa":
        return attention
    values = torch.zeros(attention.shape, dtype=model.dtype, device=attention.device)
    return values.masked_fill_(~attention, torch.finfo(model.dtype).min)


def shares_state(model: PreTrainedModel) -> bool:
    """Whether the model's state is a cache of keys and values that rows can share (a state-space model's is not)."""
    layer_types = getattr(model.config.get_text_config(decoder=True), "layer_types", None) or ()
    return not getattr(model, "_is_stateful", False) and set(layer_types) <= {"full_attention", "sliding_attention"}


def encode_prefix(model: PreTrainedModel, token_ids: TokenIds, cache: DynamicCache | None = None) -> DynamicCache:
    """Return the cache of ``token_ids``, or of a cached prefix grown by them; the given cache is left as it was.

    The cache keeps every position, also for sliding-window layers, whose window the mask applies.
    """
    grown = fork(cache)
    if token_ids:
        run(model, pack([chain(token_ids)], grown.get_seq_length(), model.device), grown, logits_at=(0,))
    return grown


def fork(cache: DynamicCache | None) -> DynamicCache:
    """Return a cache that holds the same keys and values and grows on its own (they are shared, not copied)."""
    from transformers import DynamicCache

    forked = DynamicCache()
    if cache is not None:
        forked.layers = [copy.copy(layer) for layer in cache.layers]
    return forked


def run(model: PreTrainedModel, packed: Pack, cache: DynamicCache | None, logits_at: Sequence[int]) -> torch.Tensor:
    """Run a packed pass behind a cached prefix, which grows by the pack.

    Args:
        cache: None where nothing comes before the pack.
        logits_at: Indices into the pack whose logits are wanted; the vocabulary projection runs only there.

    Returns:
        Logits ``(len(logits_at), vocabulary)`` in float32.

    Raises:
        SpilloverError: If the model's state cannot be shared by rows.
    """
    if not shares_state(model):
        raise SpilloverError(f"{model.config.model_type} keeps a recurrent state that rows cannot share")
    index = torch.tensor(logits_at, dtype=torch.long, device=packed.token_ids.device)
    layout = {"row_layout": packed.layout} if _takes_layout(model, packed) else {}
    with any_shape():
        output = model(
            input_ids=packed.token_ids,
            attention_mask=attention_mask(model, packed.attention, packed.positions, packed.key_positions),
            position_ids=packed.positions,
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=index,
            **layout,
        )
    logits: torch.Tensor = output.logits[0].float()
    return logits


def _takes_layout(model: PreTrainedModel, packed: Pack) -> bool:
    """Whether the layout says what the mask says."""
    return packed.layout is not None and takes_layouts(model, int(packed.positions.max()) + 1)


def takes_layouts(model: PreTrainedModel, position_count: int) -> bool:
    """Whether layouts can stand for masks: attention is torch's own and no sliding window ends within the positions."""
    window = _sliding_window(model)
    if model.config._attn_implementation != "sdpa" or (window and position_count > window):
        return False
    use_row_layouts()
    return True
