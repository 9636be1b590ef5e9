"""A tokenizer that its `tokenizer.json` says all of, read without transformers, which takes a second to load."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

PLAIN = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""Two names of the class that reads `tokenizer.json` as it is."""
TRUSTED = ("llama", "gpt2", "gemma3_text", "qwen3", "smollm3")
"""Architectures whose folders get the class they name: for some others transformers knows better, and for any it has to
load the architecture's settings, and with them torch, to know."""
NAMED = ("bos_token", "eos_token", "unk_token", "pad_token")
"""Settings that name a special token."""
IDLE: tuple[str, ...] = (
    "backend",
    "is_local",
    "local_files_only",
    "tokenizer_class",
    "chat_template",
    "model_input_names",
)
"""Settings, and those of padding and of lengths, that change no token id."""
IDLE += ("model_max_length", "padding_side", "truncation_side", "clean_up_tokenization_spaces")
MORE_TOKENS = ("special_tokens_map.json", "added_tokens.json", "additional_chat_templates")
"""Beside `tokenizer.json`: what says more of its tokens, and is left to transformers."""
MOST_TOKENS = 100_000
"""Of larger vocabularies transformers mends some, by the name of the model."""


def names_plain_tokenizer(path: Path) -> bool:
    """Return whether a folder's files alone say that its `tokenizer.json` is read as it is."""
    if not (path / "tokenizer.json").is_file():
        return False
    settings, model = _settings(path / "tokenizer_config.json"), _settings(path / "config.json")
    is_plain = settings.get("tokenizer_class") in PLAIN and "auto_map" not in settings
    return is_plain and model.get("model_type") in TRUSTED and "auto_map" not in model


def plain_tokenizer(path: Path) -> PlainTokenizer | None:
    """Return the tokenizer of a folder; None where transformers may make another one of the folder's files."""
    settings = _settings(path / "tokenizer_config.json")
    named = {name: settings[name] for name in NAMED if settings.get(name) is not None}
    idle = {*NAMED, *IDLE}
    if (
        "eos_token" not in named
        or not names_plain_tokenizer(path)
        or not settings.keys() <= idle
        or any((path / m).exists() for m in MORE_TOKENS)
    ):
        return None
    if not all(isinstance(text, str) for text in (*named.values(), settings.get("chat_template", ""))):
        return None
    try:
        tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    except Exception:
        return None
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    is_whole = special >= set(named.values()) and tokenizer.post_processor is not None
    if not is_whole or not tokenizer.encode("a").ids or tokenizer.get_vocab_size() > MOST_TOKENS:
        return None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    template = path / "chat_template.jinja"
    written = template.read_text(encoding="utf-8") if template.is_file() else settings.get("chat_template")
    return PlainTokenizer(tokenizer, named, written)


class PlainTokenizer:
    """What an `Encoder` asks of a tokenizer, with the names and the ids of transformers.

    Args:
        tokenizer: What makes tokens of a text.
        named: The setting that names a special token to its text.
        chat_template: How a conversation is written, if the folder says it.
    """

    def __init__(self, tokenizer: Tokenizer, named: Mapping[str, str], chat_template: str | None) -> None:
        self._tokenizer = tokenizer
        self._named = named
        self.chat_template = chat_template

    def __call__(
        self, texts: Sequence[str], *, add_special_tokens: bool = True, **_: object
    ) -> Mapping[str, list[list[int]]]:
        """Return the ids of each text as ``input_ids``."""
        found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=add_special_tokens)
        return {"input_ids": [encoding.ids for encoding in found]}

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False, **_: object) -> str:
        """Return the text of ids."""
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=skip_special_tokens))

    def convert_ids_to_tokens(self, token_id: int) -> str | None:
        """Return how the vocabulary writes a token."""
        return self._tokenizer.id_to_token(token_id)

    @property
    def vocab_size(self) -> int:
        """Tokens, without those that were added."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=False))

    @property
    def added_tokens_decoder(self) -> Mapping[int, AddedToken]:
        """Id to token of those that were added."""
        return self._tokenizer.get_added_tokens_decoder()

    @property
    def all_special_tokens(self) -> list[str]:
        """The texts of the named special tokens."""
        return list(dict.fromkeys(self._named.values()))

    @property
    def bos_token(self) -> str | None:
        """What a text begins with, whether or not it is added."""
        return self._named.get("bos_token")

    @property
    def bos_token_id(self) -> int | None:
        """Its id."""
        return self._id("bos_token")

    @property
    def eos_token_id(self) -> int | None:
        """Of what an answer ends with."""
        return self._id("eos_token")

    @property
    def pad_token_id(self) -> int | None:
        """Of what fills a row up."""
        return self._id("pad_token")

    def _id(self, name: str) -> int | None:
        text = self._named.get(name)
        return None if text is None else self._tokenizer.token_to_id(text)


def _settings(file: Path) -> dict[str, Any]:
    """Return a file of settings; an empty one where it is missing or broken, of which transformers tells."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
