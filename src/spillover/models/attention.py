"""Exact attention of packed rows without masks: over what they share at once, over each row alone, then merged.

A masked pass computes every pair of tokens and throws most of them away. Here the tokens that all rows see are attended
to in one unmasked product and each row's own tokens in one small one; the two softmaxes are merged by their
log-sum-exps, the way blockwise attention does it (Dao et al. 2022, FlashAttention, section 3.1). The gradient of each
part needs only the merged result and the merged log-sum-exp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import AttentionInterface

if TYPE_CHECKING:
    from torch import nn

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
# The operators behind torch's own attention on processors. The public function does not return the log-sum-exp.
MOST_KEYS_IN_FLOAT32 = 256
"""Gradients over as few keys are computed in float32: the operator's bfloat16 products are five to ten times slower on
blocks of up to a hundred keys, as slow on some 130 and faster above."""
KeysAndValues = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Who sees whom in a packed pass: cached tokens, then a trunk, then rows that see all of these and themselves."""

    cached: int
    """Keys from before the pass, seen by every token."""
    trunk: int
    """First tokens of the pass, each seeing those before it, all seen by every row."""
    sizes: tuple[int, ...]
    """Tokens of each row."""
    masks: tuple[torch.Tensor | None, ...]
    """Of each row: ``(size, size)``, true where a token may look, or None where each sees those before it."""

    def own_parts(self) -> Iterator[tuple[slice, slice, torch.Tensor | None]]:
        """Yield queries, keys and mask of the trunk and of each row within itself."""
        start = 0
        for size, mask in zip((self.trunk, *self.sizes), (None, *self.masks), strict=True):
            if size:
                yield slice(start, start + size), slice(self.cached + start, self.cached + start + size), mask
            start += size

    def shared_parts(self) -> Iterator[tuple[slice, slice]]:
        """Yield queries and keys of what is seen whole: the cached tokens by the trunk, these and the trunk by rows."""
        if self.trunk and self.cached:
            yield slice(0, self.trunk), slice(0, self.cached)
        if self.sizes and self.cached + self.trunk:
            yield slice(self.trunk, self.trunk + sum(self.sizes)), slice(0, self.cached + self.trunk)


def any_shape() -> AbstractContextManager[None]:
    """Leave out cuDNN's attention, which takes some 10 ms to prepare for every new shape: each pack has its own."""
    return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])


def use_row_layouts() -> None:
    """Let models whose attention is ``sdpa`` take ``row_layout`` and ``seen_by_all``; without these nothing changes."""
    AttentionInterface.register("sdpa", _attention)


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    row_layout: RowLayout | None = None,
    seen_by_all: Sequence[KeysAndValues] | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as transformers' own ``sdpa`` does, by the row layout where there is one and the processor computes.

    Args:
        query: ``(b, heads, q, d)``
        key: ``(b, key heads, k, d)``
        value: ``(b, key heads, k, d)``
        attention_mask: Says the same as ``row_layout``; used where the layout cannot be.
        row_layout: Of a packed pass.
        seen_by_all: Of each layer, what every row of a batch sees before its own keys and values, ``(1, key heads, p,
            d)`` each; the mask covers both. Each row asks for one token.
    """
    is_plain = _is_plain(query, value, dropout, kwargs)
    if seen_by_all is not None:
        index: Any = module.layer_idx
        shared = seen_by_all[index]
        if is_plain and attention_mask is not None:
            own_mask = attention_mask[..., shared[0].shape[2] :]
            return _attend_apart(query, (key, value), own_mask, shared, scaling), None
        copies = (states.expand(len(query), -1, -1, -1) for states in shared)
        key, value = (torch.cat(parts, dim=2) for parts in zip(copies, (key, value), strict=True))
    if row_layout is None or not is_plain or len(query) > 1:
        result: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return result
    if torch.is_autocast_enabled("cpu"):
        query, key, value = (states.to(torch.get_autocast_dtype("cpu")) for states in (query, key, value))
    return _RowAttention.apply(query, key, value, scaling, row_layout).transpose(1, 2), None  # type: ignore[no-untyped-call]


def _is_plain(query: torch.Tensor, value: torch.Tensor, dropout: float, options: dict[str, Any]) -> bool:
    """Whether nothing but queries, keys and values on the processor is at play."""
    usual = query.device.type == "cpu" and query.shape[-1] == value.shape[-1]
    return usual and not dropout and options.get("position_bias") is None and options.get("softcap") is None


def _attend_apart(
    query: torch.Tensor,
    own: KeysAndValues,
    own_mask: torch.Tensor,
    shared: KeysAndValues,
    scale: float | None,
) -> torch.Tensor:
    """Attend from one token of each row to what all rows see, read once for all, and to the row's own; then merge.

    Args:
        query: ``(n, heads, 1, d)``
        own: Keys and values, ``(n, key heads, k, d)``.
        own_mask: ``(n, 1, 1, k)``, true where a row may look.
        shared: Keys and values, ``(1, key heads, p, d)``.

    Returns:
        ``(n, 1, heads, d)``
    """
    count, heads, _, size = query.shape
    grouped = query.reshape(count, own[0].shape[1], -1, size)  # heads that share a key head ask it together
    output, log_sum = _forward(grouped, *own, attn_mask=_addend(own_mask, query), scale=scale)
    together = grouped.permute(1, 2, 0, 3).reshape(1, grouped.shape[1], -1, size)
    of_shared, shared_sum = _forward(together, *shared, scale=scale)
    of_shared = of_shared.reshape(*grouped.shape[1:3], count, size).permute(2, 0, 1, 3)
    shared_sum = shared_sum.reshape(*grouped.shape[1:3], count).permute(2, 0, 1)
    merged: torch.Tensor = output.lerp(of_shared, torch.sigmoid(shared_sum - log_sum)[..., None].to(output.dtype))
    return merged.reshape(count, 1, heads, size)


class _RowAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float | None,
        layout: RowLayout,
    ) -> torch.Tensor:
        merged = torch.empty_like(query)
        log_sums = query.new_empty(query.shape[:-1], dtype=torch.promote_types(query.dtype, torch.float32))
        for queries, keys, mask in layout.own_parts():
            merged[:, :, queries], log_sums[:, :, queries] = _forward(
                query[:, :, queries],
                key[:, :, keys],
                value[:, :, keys],
                0.0,
                mask is None,
                attn_mask=_addend(mask, query),
                scale=scale,
            )
        for queries, keys in layout.shared_parts():
            output, log_sum = _forward(query[:, :, queries], key[:, :, keys], value[:, :, keys], scale=scale)
            own = log_sums[:, :, queries]
            merged[:, :, queries].lerp_(output, torch.sigmoid(log_sum - own)[..., None].to(output.dtype))
            log_sums[:, :, queries] = torch.logaddexp(own, log_sum)
        ctx.save_for_backward(query, key, value, merged, log_sums)
        ctx.scale, ctx.layout = scale, layout  # type: ignore[attr-defined]
        return merged

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None, None]:
        query, key, value, merged, log_sums = ctx.saved_tensors  # type: ignore[attr-defined]
        scale: float | None = ctx.scale  # type: ignore[attr-defined]
        layout: RowLayout = ctx.layout  # type: ignore[attr-defined]
        fine = torch.promote_types(query.dtype, torch.float32)

        def of_part(
            queries: slice, keys: slice, mask: torch.Tensor | None, *, causal: bool
        ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            asking = [states[:, :, queries] for states in (gradient, query, merged)]
            asked = [states[:, :, keys] for states in (key, value)]
            if asked[0].shape[2] <= MOST_KEYS_IN_FLOAT32:
                asking, asked = ([states.to(fine) for states in part] for part in (asking, asked))
            return _backward(  # type: ignore[no-any-return]
                *asking[:2],
                *asked,
                asking[2],
                log_sums[:, :, queries],
                0.0,
                causal,
                attn_mask=_addend(mask, asking[0]),
                scale=scale,
            )

        of_query, of_key, of_value = (torch.empty_like(states, dtype=fine) for states in (query, key, value))
        of_key[:, :, : layout.cached], of_value[:, :, : layout.cached] = 0, 0
        for queries, keys, mask in layout.own_parts():  # together they hold every query and every key of the pass once
            parts = of_part(queries, keys, mask, causal=mask is None)
            of_query[:, :, queries], of_key[:, :, keys], of_value[:, :, keys] = parts
        for queries, keys in layout.shared_parts():
            parts = of_part(queries, keys, None, causal=False)
            of_query[:, :, queries] += parts[0]
            of_key[:, :, keys] += parts[1]
            of_value[:, :, keys] += parts[2]
        return of_query.to(query.dtype), of_key.to(key.dtype), of_value.to(value.dtype), None, None


def _addend(mask: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor | None:
    """Return the mask as what is added to the scores, ``(b, 1, q, k)``; a mask ``(q, k)`` is of one batch."""
    if mask is None:
        return None
    return like.new_zeros(mask.shape).masked_fill_(~mask, float("-inf")).reshape(-1, 1, *mask.shape[-2:])
