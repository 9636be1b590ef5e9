"""Which labels are spellings of one another."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def twin_labels(counts: Mapping[str, int]) -> dict[str, str]:
    """Return each label that is another spelling of a more frequent one, and that one.

    Labels are the same word when they are equal in compatibility form (NFKC), without invisible characters and
    differences of case, spaces and marks of composition.
    """
    spelled: dict[str, list[str]] = {}
    for label in counts:
        spelled.setdefault(folded(label), []).append(label)
    twins = {}
    for labels in spelled.values():
        # Of equally frequent spellings the composed and visible one.
        first, *others = sorted(labels, key=lambda label: (-counts[label], label != _composed(label), label))
        twins.update(dict.fromkeys(others, first))
    return twins


def folded(label: str) -> str:
    """Return a label as it is compared with others."""
    return " ".join(_composed(_composed(label).casefold()).split())


def _composed(label: str) -> str:
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", label))
