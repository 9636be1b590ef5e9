"""The step that takes in a variant that was trained elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from spillover.models.adopted import Adopted
from spillover.models.spec import ResolvedModel
from spillover.steps.adoption import check_adopted
from spillover.steps.outside import changed_model
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Told
from spillover.steps.variant import Variant
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.store import Store
from spillover.tasks.relation import TrainedOn


@dataclass(frozen=True)
class Adopt(Variant):
    """Take in a variant that was trained elsewhere, after comparing it with its base."""

    kind: ClassVar[str] = "adopt"
    version: ClassVar[int] = 1
    name: str
    base: ResolvedModel
    adopted: Adopted
    """Where it lies is not part of the key: what it holds is."""
    trained_on: TrainedOn | None = None
    """None where it is not stated; changes no prediction and is not part of the key."""
    size: int = 0
    """Training rows: not known."""
    seed: int = 0

    @property
    def variant(self) -> str:
        """The variant's id: its name and, where that is stated, what it was trained on."""
        return f"{self.name}/{self.trained_on.name}" if self.trained_on else self.name

    @property
    def saves_adapter(self) -> bool:
        return self.adopted.is_adapter

    @property
    def context_length(self) -> int:
        return self.adopted.context_length

    @property
    def tokenizer_path(self) -> Path:
        differs = self.adopted.tokenizer_fingerprint != self.base.tokenizer_fingerprint
        return self.adopted.path if differs else self.base.path

    @property
    def stands_alone(self) -> bool:
        return not self.saves_adapter

    @property
    def label(self) -> str:
        return f"adopt {self.variant}"

    def fields(self) -> Mapping[str, Any]:
        return {
            "base": self.base.fingerprint,
            "is_adapter": self.adopted.is_adapter,
            "fingerprint": self.adopted.fingerprint,
            "tokenizer": self.adopted.tokenizer_fingerprint,
        }

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        check_adopted(self.adopted, self.base)
        files.write_json(folder / "adopted.json", {"path": str(self.adopted.path), **self.fields()})

    def work(self, workshop: Workshop) -> float:
        check_adopted(self.adopted, self.base)
        return 1.0

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return speed.loading * (1.0 if self.saves_adapter else 2.0)

    def outside_fault(self, cache: Path) -> str | None:
        return super().outside_fault(cache) or changed_model(self.adopted, cache)

    def recipe_card(self) -> dict[str, Any]:
        kind = "adapter" if self.saves_adapter else "model"
        return {"trained_elsewhere": {kind: self.adopted.path.name, **self.fields()}}

    def weights_folder(self, store: Store) -> Path:
        """Return the folder where it lies: it is not copied."""
        return self.adopted.path

    def weights(self, store: Store) -> Path:
        """Return the same: `outside_fault` compares what lies there with its fingerprint."""
        return self.adopted.path
