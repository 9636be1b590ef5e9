"""What counts as an answer in generated text: where it ends, and whether it is a bare label word."""

from collections.abc import Iterable

_PUNCTUATION = " \t\n.,;:!?\"'`*()[]"


def cut(text: str, stop: str) -> str:
    """Return the text before the stop string, without surrounding white space."""
    return text.split(stop, 1)[0].strip()


def is_bare_label(text: str, labels: Iterable[str]) -> bool:
    """Whether the text is one of the label words and nothing else, apart from case and punctuation around it."""
    return text.strip(_PUNCTUATION).casefold() in {label.casefold() for label in labels}
