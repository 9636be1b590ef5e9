"""Whether the models that a step reads are still those its key is of: their files lie outside the store."""

from __future__ import annotations

from pathlib import Path

from spillover.errors import UserError
from spillover.models.adopted import Adopted
from spillover.models.fingerprint import (
    CONFIG_FILE,
    TOKENIZER_FILES,
    WEIGHTS_FILE,
    adapter_content_fingerprint,
    tokenizer_fingerprint,
    weights_fingerprint,
)
from spillover.models.spec import ResolvedModel


def changed_model(model: ResolvedModel | Adopted, cache: Path) -> str | None:
    """Return in words what of a model's folder is no longer what was fingerprinted, if anything is.

    Contents are read again only where a file's size or times differ, see `spillover.models.fingerprint`.

    Args:
        cache: Where fingerprints are remembered.
    """
    path, is_adapter = model.path, isinstance(model, Adopted) and model.is_adapter
    has_tokenizer = not is_adapter or any((path / name).is_file() for name in TOKENIZER_FILES)
    try:
        weights = (
            adapter_content_fingerprint(path / CONFIG_FILE, path / WEIGHTS_FILE, cache=cache)
            if is_adapter
            else weights_fingerprint(path, cache=cache)
        )
        tokenizer = tokenizer_fingerprint(path, cache=cache) if has_tokenizer else model.tokenizer_fingerprint
    except (UserError, OSError) as error:
        return str(error)
    if weights != model.fingerprint:
        return f"{path}: the weights or their configuration changed"
    return f"{path}: the tokenizer changed" if tokenizer != model.tokenizer_fingerprint else None
