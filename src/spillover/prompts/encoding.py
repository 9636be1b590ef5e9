"""Text to token ids: the only tokenising code, so that training, scoring and other harnesses see the same ids.

A prompt is encoded whole, once, with exactly the special tokens its tokenizer puts at the beginning of a text, and none
of those that some put at its end: an answer follows there. A target is encoded apart, without special tokens. Text
encoded in pieces is not the text encoded whole, so there is one place that decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from spillover.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TokenIds = tuple[int, ...]

PROBE = "a"
"""A text of which every tokenizer makes a token."""
SPACES = ("\N{LOWER ONE EIGHTH BLOCK}", "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}")
"""How SentencePiece and byte-level vocabularies write a space."""
KNOWN_CHARACTERS = 50_000_000
"""Of texts whose token ids are kept, a few hundred megabytes; beyond that all are forgotten."""


class Encoder:
    """A tokenizer behind the project's one encoding rule.

    Args:
        tokenizer: Any Hugging Face tokenizer with an end token, or one that answers alike (`models.plain_tokenizer`).
        vocabulary_size: Tokens that the model knows, where that is known.

    Raises:
        UserError: If the tokenizer has no end token, since then no model could learn where to stop.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, vocabulary_size: int | None = None) -> None:
        if tokenizer.eos_token_id is None:
            raise UserError("the tokenizer has no end token (eos_token); set one in its tokenizer_config.json")
        self._tokenizer = tokenizer
        self._vocabulary_size = vocabulary_size
        self.end_token_id: int = int(tokenizer.eos_token_id)
        self._known: dict[tuple[str, bool], TokenIds] = {}
        self._known_characters = 0
        self.appended = self._appended()
        """The special tokens that the tokenizer puts behind every text; prompts go without them."""

    def _appended(self) -> TokenIds:
        alone, whole = (
            self._tokenizer([PROBE], add_special_tokens=special, return_attention_mask=False)["input_ids"][0]
            for special in (False, True)
        )
        starts = range(len(whole) - len(alone) + 1)
        start = next((at for at in starts if whole[at : at + len(alone)] == alone), None)
        if start is None:
            raise UserError(
                "the tokenizer makes other tokens of a text when it adds its special tokens, so no prompt can be "
                "continued; give a model whose tokenizer adds them before or behind a text"
            )
        return tuple(whole[start + len(alone) :])

    @property
    def begin_token_id(self) -> int | None:
        """The token a text begins with (BOS), where the tokenizer names one, whether or not it adds it by itself."""
        found = self._tokenizer.bos_token_id
        return None if found is None else int(found)

    @property
    def begin_marks_turns(self) -> bool:
        """Whether the begin token is written out in the chat template: it stands before every turn, not every text."""
        token, template = self._tokenizer.bos_token, getattr(self._tokenizer, "chat_template", None)
        return bool(token) and str(token) in str(template or "")

    @property
    def pads_with_end(self) -> bool:
        """Whether the padding token is the end token, or there is none and the end token takes its place."""
        return self._tokenizer.pad_token_id in (None, self.end_token_id)

    @cached_property
    def control_tokens(self) -> tuple[str, ...]:
        """Texts that become one special token wherever they stand in a text, longest first."""
        added = self._tokenizer.added_tokens_decoder.values()
        found = {str(token) for token in added if token.special} | set(self._tokenizer.all_special_tokens)
        return tuple(sorted(filter(None, found), key=lambda text: (-len(text), text)))

    @cached_property
    def puts_space_first(self) -> bool:
        """Whether a text that is encoded apart is given a space before it, as SentencePiece does."""
        (ids,) = self._tokenizer([PROBE], add_special_tokens=False, return_attention_mask=False)["input_ids"]
        return str(self._tokenizer.convert_ids_to_tokens(ids[0])).startswith(SPACES)

    def prompts(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the token ids of whole prompts, with the special tokens the tokenizer itself puts before them."""
        encoded = self._encode(texts, special=True)
        return [ids[: len(ids) - len(self.appended)] for ids in encoded] if self.appended else encoded

    def targets(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the token ids of targets or answers, without special tokens.

        Raises:
            UserError: If a text has no tokens, since it could be neither learnt nor scored.
        """
        encoded = self._encode(texts, special=False)
        for text, ids in zip(texts, encoded, strict=True):
            if not ids:
                raise UserError(f"the target {text!r} has no tokens; remove the row or name a target in words")
        return encoded

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of generated ids, without special tokens and without tidying of spaces."""
        return str(
            self._tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    def token_text(self, token_id: int) -> str:
        """Return the text of one token, also of a special one; bytes that are no whole character become U+FFFD."""
        return str(self._tokenizer.decode([token_id], clean_up_tokenization_spaces=False))

    def _encode(self, texts: Sequence[str], *, special: bool) -> list[TokenIds]:
        """Encode what was not encoded before: the arms of a study share most of their rows."""
        new = list(dict.fromkeys(text for text in texts if (text, special) not in self._known))
        if new:
            characters = sum(map(len, new))
            if self._known_characters + characters > KNOWN_CHARACTERS:
                self._known, self._known_characters, new = {}, 0, list(dict.fromkeys(texts))
                characters = sum(map(len, new))
            encoded = self._tokenizer(new, add_special_tokens=special, return_attention_mask=False, verbose=False)
            self._require_known(new, encoded["input_ids"])
            self._known |= {(text, special): tuple(ids) for text, ids in zip(new, encoded["input_ids"], strict=True)}
            self._known_characters += characters
        return [self._known[text, special] for text in texts]

    def _require_known(self, texts: Sequence[str], encoded: Sequence[Sequence[int]]) -> None:
        """Refuse tokens that the model has no row for, before it is asked."""
        if self._vocabulary_size is None:
            return
        for text, ids in zip(texts, encoded, strict=True):
            if (most := max(ids, default=0)) >= self._vocabulary_size:
                raise UserError(
                    f"the tokenizer makes token {most} ({self.token_text(most)!r}) of the text that begins with "
                    f"{text[:30]!r}, the model's vocabulary is {self._vocabulary_size}; give the tokenizer that "
                    "belongs to the model, or remove the token from the text"
                )


def common_prefix_length(rows: Sequence[TokenIds]) -> int:
    """Return how many first tokens all rows share, leaving every row at least one token of its own.

    The common prefix of all rows is that of the smallest and the largest in lexicographic order.
    """
    if not rows:
        return 0
    low, high = min(rows), max(rows)
    shortest = min(len(row) for row in rows)
    shared = np.array([a == b for a, b in zip(low, high, strict=False)] + [False])
    return max(0, min(int(shared.argmin()), shortest - 1))
