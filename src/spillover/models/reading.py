"""The one door to the libraries that read model folders: whatever they raise becomes one line that names the place."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from spillover.errors import SpilloverError, UserError
from spillover.models.fingerprint import read_json

MERGE = "merge it into its base (merge_and_unload, save_pretrained) and give that as a whole model"
"""What helps where an adapter cannot be taken on and off."""
LONGEST_REASON = 200
"""Characters."""
MOST_LAYERS = 1000
"""A configuration that states more, which none does, would be built for hours before it is found not to fit."""
LAYER_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
PLAIN = (ValueError, OSError, ImportError, RuntimeError)
"""Errors whose message is a sentence; of others the kind is needed to understand it."""


@contextlib.contextmanager
def reading(place: Path, fault: str, mend: str) -> Iterator[None]:
    """Turn anything a library raises inside the block, a panic of its compiled code too, into a UserError of one line.

    Errors of this package pass as they are, and so do an interrupt and memory that a device lacks.

    Args:
        place: The folder or file that is read; if one of a folder's files is not readable as JSON, it is named.
        fault: What it means that reading failed, after the place: ``"transformers cannot load this model"``.
        mend: What to do about it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (SpilloverError, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            if type(error).__name__ == "OutOfMemoryError":
                raise
            for file in sorted(place.glob("*.json")) if place.is_dir() else ():
                read_json(file)
            raise UserError(f"{place}: {fault} ({reason_of(error)}); {mend}") from error


def reason_of(error: BaseException) -> str:
    """Return an error's message in one short printable line."""
    text = " ".join(str(error).split())
    if not text or not isinstance(error, PLAIN):
        text = f"{type(error).__name__}: {text}".rstrip(": ")
    text = re.sub(r"[^ -~\xa0-\U0010ffff]", "\ufffd", text)
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"


def require_bounded(folder: Path) -> None:
    """Refuse a configuration, where the folder has one, of so many layers that building it would not end."""
    if not (folder / "config.json").is_file():
        return
    config = read_json(folder / "config.json")
    for settings in (config, *(inner for inner in config.values() if isinstance(inner, dict))):
        for key in LAYER_COUNTS:
            count = settings.get(key)
            if isinstance(count, int | float) and count > MOST_LAYERS:
                raise UserError(
                    f"{folder / 'config.json'}: {key} is {count:g}, more than {MOST_LAYERS}; fetch or save it again"
                )
