"""The step that makes a variant of a trained one by changing its weights without training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from spillover.models.memory import give_back_memory
from spillover.models.spec import ResolvedModel
from spillover.records import Example
from spillover.steps.finetune import Finetune
from spillover.steps.prepare import Prepare
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, Told
from spillover.steps.variant import ADAPTER, Variant, changed_fingerprint, save_whole, saved_weight_count
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.tasks.task import Task
from spillover.training.afterwards.change import Change


@dataclass(frozen=True)
class Derive(Variant):
    """Make a variant of a trained one by changing its weights without training."""

    kind: ClassVar[str] = "derive"
    version: ClassVar[int] = 1
    trained: Finetune
    change: Change
    """What is done afterwards, for a single value."""

    @property
    def name(self) -> str:
        """The variant's name: that of the trained one and the value of what was done to it."""
        return f"{self.trained.name}@{self.change.suffix}"

    @property
    def variant(self) -> str:
        """The variant's id: name@change/task/size/seed."""
        return f"{self.name}/{self.data.task.name}/{self.size}/{self.seed}"

    @property
    def label(self) -> str:
        return f"derive {self.variant}"

    @property
    def base(self) -> ResolvedModel:
        return self.trained.base

    @property
    def data(self) -> Prepare:
        """The rows that were trained on."""
        return self.trained.data

    @property
    def trained_on(self) -> Task:
        return self.data.task

    @property
    def size(self) -> int:
        return self.trained.size

    @property
    def seed(self) -> int:
        return self.trained.seed

    @property
    def learns_from(self) -> tuple[Prepare, ...]:
        return self.trained.learns_from

    @property
    def learns(self) -> Mapping[str, Any]:
        return self.trained.learns

    def learnt(self, workshop: Workshop) -> Iterable[Example]:
        return self.trained.learnt(workshop)

    @property
    def saves_adapter(self) -> bool:
        """Whether the variant is kept as an adapter: where that of the trained one is just scaled."""
        return self.trained.recipe.parameters.update_scales and self.change.update_scale is not None

    def fields(self) -> Mapping[str, Any]:
        return {"base": self.base.fingerprint, "change": self.change.model_dump(mode="json")}

    def inputs(self) -> Mapping[str, Step]:
        return {"trained": self.trained}

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        from spillover.models.adapters import write_scaled
        from spillover.training.derive import change_weights

        scale, trained = self.change.update_scale, self.trained
        if self.saves_adapter and scale is not None:
            write_scaled(trained.weights(workshop.store), scale, folder / ADAPTER)
        else:
            workshop.let_go()
            model = trained.whole_model(workshop.store)
            change_weights(model, self.base.path, self.change)
            save_whole(model, self.base, folder)
            del model
        when = f"at {self.change.suffix}: choose a value that keeps some of the update"
        files.write_json(folder / "derived.json", {"fingerprint": changed_fingerprint(self, folder, when)})
        give_back_memory()

    def work(self, workshop: Workshop) -> float:
        return 1.0

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return speed.loading * 2

    def weight_count(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        return saved_weight_count(self.trained.recipe.parameters, shapes, is_adapter=self.saves_adapter)

    def recipe_card(self) -> dict[str, Any]:
        return {**self.trained.recipe_card(), "afterwards": self.change.model_dump(mode="json")}
