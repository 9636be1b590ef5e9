"""What counts as an answer in generated text: where it ends, and whether it is a bare label word."""

from collections.abc import Iterable

import regex

from spillover.prompts.words import folded

_AROUND = regex.compile(r"^[\s\p{P}`]+|[\s\p{P}`]+$")


def cut(text: str, stop: str) -> str:
    """Return the text before the stop string, without surrounding white space."""
    return text.split(stop, 1)[0].strip()


def is_bare_label(text: str, labels: Iterable[str]) -> bool:
    """Whether the text is one of the label words and nothing else, apart from case and punctuation around it."""
    return _bare(text) in {_bare(label) for label in labels}


def _bare(text: str) -> str:
    """Return the text without what stands around it; a label of punctuation alone stays."""
    plain = folded(text).strip()
    return _AROUND.sub("", plain) or plain
