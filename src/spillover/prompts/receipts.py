"""A model's verdict in another model's prompt: the line it stands in, and controls that spoil it."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from spillover.prompts.demonstrations import seeded_order
from spillover.prompts.template import Template

Place = Literal["demonstrations", "test"]
"""Where receipts stand: beside demonstrations, or beside the items that are asked."""
Said = Literal["label", "confidence"]
"""What of a verdict is shown."""
Corruption = Literal["shuffled", "random-label", "random-confidence"]
_SAID = re.compile(r"\{(label|confidence)\}")
_FIELD = "receipt_"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A verdict as it is shown."""

    label: str
    confidence: float
    """Share of the label, 0..1."""

    @property
    def fields(self) -> dict[str, str]:
        """What fills the places of `with_line`; the confidence has three digits, as in the paper's prompt."""
        return {f"{_FIELD}label": self.label, f"{_FIELD}confidence": f"{self.confidence:.3f}"}


def default_words(show: Sequence[Said]) -> str:
    """Return the line of a receipt: that of SuperICL, the method's predecessor (sheet supercontext, 2.1)."""
    confidence = " (Confidence: {confidence})"
    if "label" not in show:
        return "Classifier's Confidence: {confidence}"
    return "Classifier's Prediction: {label}" + (confidence if "confidence" in show else "")


def places_of(words: str) -> list[str]:
    """Return what of a verdict a line shows."""
    return _SAID.findall(words)


def with_line(template: Template, words: str) -> Template:
    """Return the template of an example that carries a receipt; of no words the template itself."""
    line = _SAID.sub(lambda place: f"{{{_FIELD}{place.group(1)}}}", words)
    return template.with_line(line) if line else template


def corrupted(
    receipts: Sequence[Receipt], kind: Corruption, answers: Sequence[str], *, seed: int, purpose: str
) -> list[Receipt]:
    """Return receipts that are not the verdicts on their items.

    ``shuffled`` gives whole receipts to other items, so that each label is shown as often as before; ``random-label``
    draws the label from the answer set; ``random-confidence`` draws the confidence between chance and 1.
    """
    if kind == "shuffled":
        order = seeded_order(len(receipts), seed=seed, purpose=f"receipts of {purpose}")
        return [receipts[index] for index in order]
    draw = random.Random(f"{kind} of {purpose}/{seed}")
    if kind == "random-label":
        return [replace(receipt, label=answers[int(draw.random() * len(answers))]) for receipt in receipts]
    least = 1 / len(answers)
    return [replace(receipt, confidence=least + draw.random() * (1 - least)) for receipt in receipts]
