"""What models said of verdicts they were shown, read strictly: what is not as asked is a failure and is counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spillover.prompts.words import words
from spillover.questions.receipts.keys import About
from spillover.questions.receipts.step import SaidOf

_DEGREE = re.compile(r"(?:0(?:\.\d)?|1(?:\.0)?|\.\d)")


@dataclass(frozen=True, slots=True)
class Interpretation:
    """What was said of the answers of one cell."""

    about: About
    item_count: int
    """Answers that were asked of: overrides alone where it was asked why."""
    unparsed_count: int
    """Those of which something else was said than asked."""
    counts: Mapping[str, int]
    """What was said to how often; a degree as ``0.3``, an example as its number. Explanations count once each."""
    unlike: str = ""
    """The first text that is not as asked."""


def interpretation(about: About, said: Sequence[SaidOf], inputs: Mapping[str, str], *, shots: int) -> Interpretation:
    """Return what was said in one cell.

    Args:
        about: What was asked.
        said: What the model wrote.
        inputs: Item to the text of its input fields, in which critical words have to stand.
        shots: Examples in the prompt.
    """
    read = [parsed(about, item.text, inputs[item.example_id], shots=shots) for item in said]
    counts = Counter(value for value in read if value is not None)
    unlike = next((item.text for item, value in zip(said, read, strict=True) if value is None), "")
    return Interpretation(about, len(said), read.count(None), dict(counts), unlike)


def parsed(about: About, text: str, given: str, *, shots: int) -> str | None:
    """Return what a text says, None where it does not say what was asked.

    A degree is a number from 0 to 1 in tenths and nothing else, words have to stand in the input as they are, an
    example is a number of those there are, an explanation any text that has a letter.
    """
    bare = text.strip().removesuffix(".").strip()
    if about == "influence":
        return f"{float(bare):.1f}" if _DEGREE.fullmatch(bare) else None
    if about == "example":
        return bare if re.fullmatch(r"[1-9]\d*", bare) and int(bare) <= shots else None
    if about == "override":
        return text.strip() if any(map(str.isalpha, text)) else None
    said, there = " ".join(words(text)), " ".join(words(given))
    return said if said and f" {said} " in f" {there} " else None
