"""A model's verdict or answer in another model's prompt: the line it stands in, and controls that spoil it."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from spillover.prompts.demonstrations import seeded_order
from spillover.prompts.template import Template

Place = Literal["demonstrations", "test"]
"""Where receipts stand: beside demonstrations, or beside the items that are asked."""
Said = Literal["label", "answer", "confidence"]
"""What of a verdict is shown: the label where there is an answer set, the answer where text is written."""
Corruption = Literal["shuffled", "random-label", "random-confidence"]
_SAID = re.compile(r"\{(label|answer|confidence)\}")
_FIELD = "receipt_"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A verdict as it is shown."""

    label: str
    """Or the answer, where text is written."""
    confidence: float
    """Share of the label, or probability of the answer: 0..1."""

    @property
    def fields(self) -> dict[str, str]:
        """What fills the places of `with_line`; the confidence has three digits, as in the paper's prompt."""
        said = {"label": self.label, "answer": self.label, "confidence": f"{self.confidence:.3f}"}
        return {f"{_FIELD}{name}": text for name, text in said.items()}


def default_words(show: Sequence[Said]) -> str:
    """Return the line of a receipt.

    Of labels it is that of SuperICL, the method's predecessor, of answers the paper's own (sheet supercontext, 2.1 and
    2.2).
    """
    confidence = " (Confidence: {confidence})" if "confidence" in show else ""
    if "answer" in show:
        return "Potential answer: {answer}" + confidence
    if "label" not in show:
        return "Classifier's Confidence: {confidence}"
    return "Classifier's Prediction: {label}" + confidence


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
    draws the label from the answer set; ``random-confidence`` draws the confidence between chance, which of text is
    0, and 1.
    """
    if kind == "shuffled":
        order = seeded_order(len(receipts), seed=seed, purpose=f"receipts of {purpose}")
        return [receipts[index] for index in order]
    draw = random.Random(f"{kind} of {purpose}/{seed}")
    if kind == "random-label":
        return [replace(receipt, label=answers[int(draw.random() * len(answers))]) for receipt in receipts]
    least = 1 / len(answers) if answers else 0.0
    return [replace(receipt, confidence=least + draw.random() * (1 - least)) for receipt in receipts]
