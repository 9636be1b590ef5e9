"""The step that measures a variant's loss on rows of its target that no arm trains on and no cell tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from spillover.errors import UserError
from spillover.prompts.template import Template
from spillover.steps.asked_rows import held_by
from spillover.steps.derive import Derive
from spillover.steps.finetune import Finetune
from spillover.steps.prepare import Prepare
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, Told
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.identity import digest
from spillover.store.store import Store
from spillover.tasks.prepare import protocol_rows, training_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spillover.training.rows import TrainingRows

VALIDATION = "validation.json"
VALIDATION_ROWS = 100
"""At most, where a design does not say how many."""
FEWEST = 8
"""Rows, below which a choice would be a matter of luck."""


@dataclass(frozen=True)
class Validate(Step):
    """Measure a variant's loss on training rows of its target that no arm trains on."""

    kind: ClassVar[str] = "validate"
    version: ClassVar[int] = 2
    variant: Finetune | Derive
    target: Prepare
    template: str
    arms: tuple[Finetune, ...]
    """Every arm of the study, of any target, size and seed: what one of them trains on is no validation row of any."""
    row_count: int = VALIDATION_ROWS
    """At most."""

    @property
    def label(self) -> str:
        return f"validate {self.variant.variant}"

    def fields(self) -> Mapping[str, Any]:
        arms = digest(sorted({arm.key for arm in self.arms}))
        return {"template": self.template, "arms": arms, "rows": self.row_count}

    def inputs(self) -> Mapping[str, Step]:
        """Return the variant and every source of the arms."""
        sources = {data.task.name: data for arm in self.arms for data in arm.learns_from}
        sources.pop(self.target.task.name, None)
        others = {f"other {index}": sources[name] for index, name in enumerate(sorted(sources))}
        return {"variant": self.variant, "target": self.target, **others}

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        model = self.variant.whole_model(workshop.store)
        files.write_json(folder / VALIDATION, validation_loss(model, self.rows(workshop)))

    def work(self, workshop: Workshop) -> float:
        return float(sum(map(len, self.rows(workshop).rows)))

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return speed.loading + speed.asked_token * work

    def outside_fault(self, cache: Path) -> str | None:
        return self.variant.outside_fault(cache)

    def measured(self, store: Store) -> Mapping[str, float]:
        """Return what `validation_loss` found."""
        return files.read_json(store.file(self, VALIDATION))  # type: ignore[no-any-return]

    def rows(self, workshop: Workshop) -> TrainingRows:
        """Return the rows; the same for every variant of a target and seed, whatever it was trained on.

        Raises:
            UserError: If the target has too few rows left.
        """
        from spillover.training.rows import encode_rows

        held = held_by(self.arms, workshop)
        source, finetune = self.target.rows(workshop), self.variant.trained
        ordered = training_rows(source, len(source.train), seed=finetune.seed)
        free = [row for row in ordered if row not in held]
        rows, _ = protocol_rows(source, split="train", protocol=finetune.rows.protocol, rows=free)
        own = rows[: self.row_count]
        if len(own) < FEWEST:
            raise UserError(
                f"task {source.task!r}: {len(own)} of its {len(source.train)} training rows are left for validation "
                f"after {len(ordered) - len(free)} that arms train on, of all sizes and seeds together; at least "
                f"{FEWEST} are needed: lower sizes, caps or seeds, replay another task, or run without --budget and "
                "without validation rows in the design"
            )
        encoder, length = workshop.encoder(finetune.base.path), finetune.base.context_length
        return encode_rows(encoder, Template(self.template), own, (), finetune.settings, context_length=length)


def validation_loss(model: PreTrainedModel, rows: TrainingRows) -> dict[str, float]:
    """Return ``loss``, the mean over all target tokens in nats, and ``rows``, how many there are."""
    from spillover.training.fit import SharedPrefixLogits
    from spillover.training.probe import general_loss

    return {"loss": general_loss(model, SharedPrefixLogits(model), rows.rows), "rows": float(len(rows.rows))}
