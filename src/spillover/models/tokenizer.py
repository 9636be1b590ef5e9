"""Loading the tokenizer of a model folder, without torch, or even transformers, where its files say what it is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.errors import UserError
from spillover.models.fingerprint import appends_special_tokens, vocabulary_size
from spillover.models.plain_tokenizer import names_plain_tokenizer, plain_tokenizer
from spillover.models.reading import reading, require_bounded
from spillover.prompts.encoding import Encoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a folder; a missing padding token becomes the end token.

    Raises:
        UserError: There is no end token, without which an answer cannot end.
    """
    require_bounded(path)
    mend = "save or fetch its tokenizer files again"
    with quiet_transformers(), reading(path, "transformers cannot load this tokenizer", mend):
        tokenizer: PreTrainedTokenizerBase = _plain(path) if names_plain_tokenizer(path) else _any(path)
        end, encoded = tokenizer.eos_token_id, tokenizer("a").input_ids  # or a broken one would fail in the first cell
    if not encoded:
        raise UserError(f"{path}: the tokenizer makes no tokens of a text; save or fetch its tokenizer files again")
    if end is None:
        raise UserError(f"{path}: the tokenizer has no end token (eos_token); add one to tokenizer_config.json")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_encoder(path: Path) -> Encoder:
    """Return the encoder of a model's folder, which knows how many tokens the model has, see `load_tokenizer`.

    Raises:
        UserError: The tokenizer cannot be loaded, or the model has fewer tokens than its own vocabulary.
    """
    tokenizer: Any = plain_tokenizer(path) or load_tokenizer(path)
    size = vocabulary_size(path)
    own, end = int(tokenizer.vocab_size), int(tokenizer.eos_token_id)
    if size is not None and max(own, end + 1) > size:
        raise UserError(
            f"{path}: the tokenizer has {max(own, end + 1)} tokens, the model's vocabulary is {size}; "
            "give the tokenizer that belongs to the model"
        )
    encoder = Encoder(tokenizer, vocabulary_size=size)
    if encoder.appended and not appends_special_tokens(path):  # the key of what was asked before would stay the same
        raise UserError(
            f"{path}: the tokenizer puts {encoder.token_text(encoder.appended[0])!r} behind every text, which its "
            "tokenizer.json does not say; load it and save it again with save_pretrained"
        )
    return encoder


def _plain(path: Path) -> Any:
    from transformers.tokenization_utils_tokenizers import TokenizersBackend

    return TokenizersBackend.from_pretrained(path, trust_remote_code=False, local_files_only=True)


def _any(path: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' log lines and progress bars inside the block."""
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    showed_bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if showed_bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
