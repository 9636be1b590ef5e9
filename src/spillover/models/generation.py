"""Greedy generation behind a shared prefix: many rows at a time, a finished one making room for the next."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from spillover.models.attention import KeysAndValues, any_shape
from spillover.models.packing import attention_mask, chain, pack, packs, run, shares_state, takes_layouts
from spillover.models.scoring import PrefixCache, device_pack_tokens
from spillover.prompts.encoding import TokenIds, common_prefix_length

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROW_TOKENS = 16_000
"""Tokens on the cache's lines (rows x (longest query + new)) decoded at a time; 0.7 GB for 135M float32 parameters."""
REFILL_SHARE = 4
"""Finished rows are replaced when they are one in so many, so that the next queries come in full packs."""
ROWS_A_LINE = 4
"""Rows of a batch for each line of the cache. A batch is decoded on its own, so that a killed run can go on after it;
the more rows it has, the less often the lines run empty at its end."""
LEFT_SHARE = 2
"""Longer queries are begun when the rows left take one in so many of their lines: a step of few rows costs about as
much as one of many."""


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
    texts: dict[int, TokenIds] = {}
    for batch in generate_batches(
        model,
        prompts,
        max_new_tokens=max_new_tokens,
        end_token_id=end_token_id,
        is_finished=is_finished,
        prefixes=prefixes,
    ):
        texts |= batch
    return [texts[index] for index in range(len(prompts))]


@torch.inference_mode()
def generate_batches(
    model: PreTrainedModel,
    prompts: Sequence[TokenIds],
    *,
    max_new_tokens: int,
    end_token_id: int,
    is_finished: Callable[[list[int]], bool],
    known: Container[int] = (),
    prefixes: PrefixCache | None = None,
) -> Iterator[dict[int, TokenIds]]:
    """Yield what `generate` returns batch by batch: index of a prompt to its continuation.

    Args:
        known: Indices of prompts whose continuations are known already. A batch of nothing else is left out; which
            prompts are decoded together stays the same.
    """
    finish = _Finish(max_new_tokens, end_token_id, is_finished)
    if not shares_state(model):
        for index, prompt in enumerate(prompts):
            if index not in known:
                yield {index: _plain(model, prompt, finish)}
        return
    shared = common_prefix_length(prompts)
    prefixes = prefixes or PrefixCache(model)
    longest = max(map(len, prompts), default=0) + max_new_tokens
    apart = shared if _reads_apart(model, longest) else 0
    room = row_tokens(model, prefixes.gpu_share)
    for waves in _batches([len(prompt) - apart + max_new_tokens for prompt in prompts], room):
        if not all(index in known for wave in waves for index in wave):
            queries = {index: prompts[index][shared:] for wave in waves for index in wave}
            with prefixes.weights.in_use(passes=max_new_tokens):
                yield _decode(model, waves, queries, prompts[0][:shared], prefixes, finish, apart=apart, room=room)


def _reads_apart(model: PreTrainedModel, position_count: int) -> bool:
    """Whether decoding can read a prefix once for all rows, instead of a copy of it on every line."""
    config = model.config.get_text_config(decoder=True)
    passes_on = model._supports_attention_backend and not getattr(config, "num_kv_shared_layers", 0)
    return model.device.type == "cpu" and passes_on and takes_layouts(model, position_count)


def row_tokens(model: PreTrainedModel, gpu_share: float) -> int:
    """Return how many tokens the lines may hold where the model is.

    On a CUDA device, whose passes cost nearly the same for few rows as for many, it is what fits a share of the memory
    that is free.
    """
    if model.device.type != "cuda":
        return ROW_TOKENS
    free, _ = torch.cuda.mem_get_info(model.device)
    return max(ROW_TOKENS, int(free * gpu_share) // cached_bytes(model))


def cached_bytes(model: PreTrainedModel) -> int:
    """Return what the cache of one token takes: a key and a value of every head in every layer."""
    config = model.config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * size * model.dtype.itemsize)


def _batches(widths: Sequence[int], room: int) -> list[list[list[int]]]:
    """Divide rows into batches, decoded apart, of waves: a pure function of their widths, the new tokens included."""
    waves = _waves(widths)
    count = math.ceil(sum(len(wave) / (ROWS_A_LINE * _line_count(widths[wave[0]], room)) for wave in waves))
    parts = [[wave[len(wave) * at // count : len(wave) * (at + 1) // count] for wave in waves] for at in range(count)]
    return [[part for part in batch if part] for batch in parts]


def _line_count(width: int, room: int) -> int:
    """Return how many rows of so many tokens the cache has room for."""
    return max(1, room // width)


def _waves(lengths: Sequence[int]) -> list[list[int]]:
    """Divide rows so that none is shorter than half of another of its wave: short waves first, longest rows first."""
    waves: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if not waves or 2 * lengths[index] < lengths[waves[-1][0]]:
            waves.append([])
        waves[-1].append(index)
    return waves[::-1]


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
    model: PreTrainedModel,
    waves: Sequence[Sequence[int]],
    queries: Mapping[int, TokenIds],
    prefix: TokenIds,
    prefixes: PrefixCache,
    finish: _Finish,
    *,
    apart: int,
    room: int,
) -> dict[int, TokenIds]:
    """Decode as many rows at a time as the cache has lines for; a finished row's line goes to the next query.

    Args:
        waves: Rows that use lines of one width, each wave wider than the one before and its longest row first.
        queries: Of each row.
        apart: How many tokens of the prefix are not copied onto the lines: none or all of them.
        room: How many tokens the lines may hold.
    """
    rows: dict[int, list[int]] = {row: [] for row in queries}
    seen_by_all = [(keys, values) for keys, values, *_ in prefixes.fork(prefix)] if apart else []
    lines = _Lines(model, seen_by_all)
    widths = [len(prefix) - apart + len(queries[wave[0]]) + finish.max_new_tokens for wave in waves]
    for wave, width, next_width in zip(waves, widths, [*widths[1:], None], strict=True):
        waiting = deque(wave)
        lines.resize(min(len(lines.rows) + len(wave), _line_count(width, room)), width)
        most_left = _line_count(next_width, room) // LEFT_SHARE if next_width else 0
        while waiting or len(lines.rows) > most_left:
            free = lines.count - len(lines.rows)
            if waiting and free * REFILL_SHARE >= lines.count:
                batch = [waiting.popleft() for _ in range(min(free, len(waiting)))]
                for group in packs([len(queries[row]) for row in batch], device_pack_tokens(model, prefixes.gpu_share)):
                    members = [batch[index] for index in group]
                    for start in _first_tokens(model, [queries[row] for row in members], prefix, prefixes, apart=apart):
                        row = members[start.member]
                        if not finish.add(rows[row], start.token):
                            lines.add(row, start)
            if lines.rows:
                tokens = lines.step()
                for line in reversed(range(len(tokens))):
                    if finish.add(rows[lines.rows[line]], tokens[line]):
                        lines.drop(line)
    return {row: tuple(ids) for row, ids in rows.items()}


@dataclass(frozen=True, slots=True)
class _Start:
    """A query that has been run: its first new token, and where what its line needs is in the cache of its pack."""

    member: int
    token: int
    cache: DynamicCache
    at: torch.Tensor
    """``(prefix + query,)``, or ``(query,)`` where the prefix is kept apart."""


def _first_tokens(
    model: PreTrainedModel, queries: Sequence[TokenIds], prefix: TokenIds, prefixes: PrefixCache, *, apart: int
) -> Iterator[_Start]:
    """Run the queries as one pack."""
    packed = pack([chain(query) for query in queries], len(prefix), model.device)
    cache = prefixes.fork(prefix)
    ends = [offset + len(query) - 1 for query, offset in zip(queries, packed.offsets, strict=True)]
    tokens = run(model, packed, cache, ends).argmax(dim=-1).tolist()
    shared = torch.arange(apart, len(prefix), device=model.device)
    for member, (query, offset, token) in enumerate(zip(queries, packed.offsets, tokens, strict=True)):
        own = torch.arange(len(prefix) + offset, len(prefix) + offset + len(query), device=model.device)
        yield _Start(member, token, cache, torch.cat([shared, own]))


class _Lines:
    """The rows that are being decoded, a line of cached keys and values each, in memory taken once a wave."""

    def __init__(self, model: PreTrainedModel, seen_by_all: Sequence[KeysAndValues]) -> None:
        self.count = 0
        self.rows: list[int] = []
        """The row on each line in use; these are the first lines."""
        self._model = model
        self._width = 0
        self._seen_by_all = seen_by_all
        """The prefix by layer, where the lines do not hold it."""
        self._apart = seen_by_all[0][0].shape[2] if seen_by_all else 0
        self._tokens: list[int] = []
        self._ends: list[int] = []
        """How many positions of each line are taken: where its next token goes."""
        self._keys: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []

    def resize(self, count: int, width: int) -> None:
        """Provide ``count`` lines of ``width`` positions, no fewer and no narrower than those in use."""
        self.count, self._width = count, width
        used = len(self.rows), max(self._ends, default=0)
        for all_states in (self._keys, self._values):
            for number, states in enumerate(all_states):  # a layer at a time, so that little is held twice
                wider = states.new_zeros(count, states.shape[1], width, states.shape[3])
                wider[: used[0], :, : used[1]] = states[: used[0], :, : used[1]]
                all_states[number] = wider

    def add(self, row: int, start: _Start) -> None:
        """Copy a run query onto the next free line."""
        if not self._keys:
            for keys, values, *_ in start.cache:
                self._keys.append(keys.new_zeros(self.count, keys.shape[1], self._width, keys.shape[3]))
                self._values.append(values.new_zeros(self.count, values.shape[1], self._width, values.shape[3]))
        line, end = len(self.rows), len(start.at)
        for number, (keys, values, *_) in enumerate(start.cache):
            self._keys[number][line, :, :end] = keys[0][:, start.at]
            self._values[number][line, :, :end] = values[0][:, start.at]
        self.rows.append(row)
        self._tokens.append(start.token)
        self._ends.append(end)

    def drop(self, line: int) -> None:
        """Free a line by moving the last one onto it."""
        end = self._ends[-1]
        if line < len(self.rows) - 1:
            for states in (*self._keys, *self._values):
                states[line, :, :end] = states[len(self.rows) - 1, :, :end]
        for column in (self.rows, self._tokens, self._ends):
            column[line] = column[-1]
            column.pop()

    def step(self) -> list[int]:
        """Run the newest token of every line; return, and remember, the next ones."""
        device = self._model.device
        ends = torch.tensor(self._ends, device=device)
        positions = self._apart + ends[:, None]
        place = torch.arange(self._apart + max(self._ends) + 1, device=device)
        cache = DynamicCache()
        cache.layers = [
            _LineLayer(*states, ends, max(self._ends) + 1) for states in zip(self._keys, self._values, strict=True)
        ]
        with any_shape():
            output = self._model(
                input_ids=torch.tensor(self._tokens, device=device)[:, None],
                attention_mask=attention_mask(self._model, (place <= positions)[:, None, None, :], positions, place),
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
                **({"seen_by_all": self._seen_by_all} if self._seen_by_all else {}),
            )
        self._tokens = output.logits[:, -1].argmax(dim=-1).tolist()
        self._ends = [end + 1 for end in self._ends]
        return list(self._tokens)


class _LineLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A cache layer that writes a token's keys and values where each line ends, copying nothing else."""

    def __init__(self, all_keys: torch.Tensor, all_values: torch.Tensor, ends: torch.Tensor, width: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._all, self._ends = (all_keys, all_values), ends
        self._lines = torch.arange(len(ends), device=ends.device)
        self._width = width
        self.keys, self.values = all_keys[: len(ends), :, : self._width - 1], all_values
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        for states, new in zip(self._all, (key_states, value_states), strict=True):
            states[self._lines, :, self._ends] = new[:, :, 0]
        keys, values = (states[: len(self._ends), :, : self._width] for states in self._all)
        return keys, values


def _plain(model: PreTrainedModel, prompt: TokenIds, finish: _Finish) -> TokenIds:
    """Generate one row by running it whole for every token: the slow path that any model can take."""
    row: list[int] = []
    while True:
        ids = torch.tensor([[*prompt, *row]], device=model.device)
        if finish.add(row, int(model(input_ids=ids, use_cache=False).logits[0, -1].argmax())):
            return tuple(row)
