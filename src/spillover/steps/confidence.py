"""The step that measures how sure a model is of what it wrote: the probability of each text, read back to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from spillover.steps.predict import DECODE, Predict, asked_model, decoded_token_count
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, Told
from spillover.steps.verdicts import SureOf
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.store import Store

CONFIDENCE = "confidence.json"


@dataclass(frozen=True)
class Confidence(SureOf):
    """Measure the probability of every text that a model wrote in a cell, given its prompt.

    It is the product over the tokens, so that those which every answer has, as the braces of JSON, hardly count.
    """

    kind: ClassVar[str] = "confidence"
    version: ClassVar[int] = 1
    predictions: Predict

    @property
    def label(self) -> str:
        return f"how sure: {self.predictions.label}"

    def fields(self) -> Mapping[str, Any]:
        return {}

    def inputs(self) -> Mapping[str, Step]:
        variant = self.predictions.variant
        return {"predictions": self.predictions, **({"variant": variant} if variant else {})}

    def work(self, workshop: Workshop) -> float:
        decoded = decoded_token_count(self.predictions.encoded(workshop)[0])
        return self.predictions.work(workshop) - DECODE * decoded + decoded

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return speed.asked_token * work

    def outside_fault(self, cache: Path) -> str | None:
        return self.predictions.outside_fault(cache)

    def memory_bytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        return self.predictions.memory_bytes(shapes)

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        from spillover.models.scoring import answer_log_likelihoods

        asked, written = self.predictions, self.predictions.answered(workshop.store)
        prompts = asked.encoded(workshop)[0].prompts
        told_something = [index for index, prediction in enumerate(written) if prediction.token_ids]
        loaded = asked_model(asked.base, asked.variant, asked.precision, workshop)
        nats = answer_log_likelihoods(
            loaded.model,
            [prompts[index] for index in told_something],
            [[written[index].token_ids] for index in told_something],
            prefixes=loaded.prefixes,
        )
        sure = dict.fromkeys((prediction.example_id for prediction in written), 0.0)  # of no text at all
        sure |= {
            written[index].example_id: float(np.exp(row[0])) for index, row in zip(told_something, nats, strict=True)
        }
        files.write_json(folder / CONFIDENCE, sure)

    def probabilities(self, store: Store) -> Mapping[str, float]:
        return files.read_json(store.file(self, CONFIDENCE))  # type: ignore[no-any-return]
