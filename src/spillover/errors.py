"""What a user can meet: errors whose one line says what came, what was expected and what to do."""

import difflib
from collections.abc import Iterable


class SpilloverError(Exception):
    """Anything this package raises on purpose."""


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
