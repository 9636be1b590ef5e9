"""The step that measures how far a variant moved from its base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from spillover.models.fingerprint import tensor_entries
from spillover.models.memory import give_back_memory
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, Told, weights_in
from spillover.steps.variant import Variant
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.store import Store
from spillover.training.general_text import general_text_digest

DRIFT = "drift.json"
DECOMPOSE = 65
"""Multiply-adds of a forward pass that a drift step takes for each of `decomposition_cost`, its own passes over general
text included: 22 seconds of a processor at 135M parameters, of which those passes are more than half."""


@dataclass(frozen=True)
class Drift(Step):
    """Measure how far a variant's weights and what it computes moved from the base's."""

    kind: ClassVar[str] = "drift"
    version: ClassVar[int] = 3
    variant: Variant

    @property
    def label(self) -> str:
        return f"measure drift of {self.variant.variant}"

    def fields(self) -> Mapping[str, Any]:
        base = self.variant.base
        return {
            "base": base.fingerprint,
            **base.encoding_fields(),
            "probe_text": general_text_digest(),
        }

    def inputs(self) -> Mapping[str, Step]:
        return {"variant": self.variant}

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        from spillover.training.drift.measure import measure_drift

        workshop.let_go()  # or the model that was asked last is in memory beside those that are compared
        path = self.variant.base.path
        found = measure_drift(lambda: self.variant.whole_model(workshop.store), path, workshop.encoder(path))
        files.write_json(folder / DRIFT, found)
        give_back_memory()

    def work(self, workshop: Workshop) -> float:
        from spillover.training.drift.cost import decomposition_cost

        # A token is one multiply-add a weight.
        shapes = {entry.name: entry.shape for entry in tensor_entries(self.variant.base.path)}
        return DECOMPOSE * decomposition_cost(shapes) / weights_in(shapes)

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return speed.loading * 2 + speed.asked_token * work

    def memory_bytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        return 4 * weights_in(shapes)

    def outside_fault(self, cache: Path) -> str | None:
        return self.variant.outside_fault(cache)

    def measured(self, store: Store) -> dict[str, Any]:
        """Return what `training.drift.measure.measure_drift` found."""
        return files.read_json(store.file(self, DRIFT))  # type: ignore[no-any-return]
