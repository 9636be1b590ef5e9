"""A few paragraphs on many subjects, ours, on which general ability is watched, kept or replayed."""

import hashlib
from importlib import resources

from spillover.prompts.encoding import Encoder
from spillover.training.rows import TrainingRow

LONGEST = 64
"""Tokens of a paragraph."""


def paragraphs() -> tuple[str, ...]:
    """Return the paragraphs, each one line."""
    text = resources.files("spillover.training").joinpath("general_text.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)


def general_text_digest() -> str:
    """Return what the text is, for the identity of what was trained with it."""
    return hashlib.sha256("\n".join([str(LONGEST), *paragraphs()]).encode()).hexdigest()


def general_rows(encoder: Encoder) -> tuple[TrainingRow, ...]:
    """Return the paragraphs as rows whose every token but the first is a target."""
    return tuple(TrainingRow(ids[:1], ids[1:LONGEST]) for ids in encoder.prompts(paragraphs()) if len(ids) > 1)
