"""What a user can meet: errors whose one line says what came, what was expected and what to do."""

import difflib
import re
from collections.abc import Iterable

_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
"""What moves a terminal's cursor, turns the direction of text, hides in it or is no character; joiners of emoji and of
Persian stay."""
_CREDENTIALS = re.compile(r"(?<=://)[^\s/?#\"'<>]*@")


def shown(text: str) -> str:
    """Return text as a terminal may get it: steering characters by their number, addresses without credentials."""
    return _STEERING.sub(lambda found: f"‹U+{ord(found[0]):04X}›", without_credentials(text))


def without_credentials(text: str) -> str:
    """Return text in which every address lacks what stands before its ``@``."""
    return _CREDENTIALS.sub("", text)


class SpilloverError(Exception):
    """Anything this package raises on purpose; its text is one line that is safe to print."""

    def __str__(self) -> str:
        return shown(" ".join(super().__str__().splitlines()))


class UserError(SpilloverError):
    """A mistake in what the user gave; the command line prints the message and exits 2."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Build the error for a name that does not exist, with the nearest names that do.

    Args:
        kind: What the name should have named, in words: ``"task"``, ``"setting of a study"``.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else f"known: {', '.join(names) or 'none'}"
    return UserError(f"unknown {kind} {name!r}; {hint}")
