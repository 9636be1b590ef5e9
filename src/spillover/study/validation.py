"""A variant's loss on rows of its target that no arm of the study trains on and no cell tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from spillover.errors import UserError
from spillover.prompts.demonstrations import text_of
from spillover.prompts.encoding import Encoder
from spillover.prompts.template import Template
from spillover.records import Example
from spillover.study.identity import digest
from spillover.study.step import Derive, Finetune, Prepare, Step
from spillover.tasks.prepare import PreparedTask, protocol_rows, training_rows

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
        """What the step is, for people."""
        return f"validate {self.variant.variant}"

    def fields(self) -> Mapping[str, Any]:
        """Return which rows are validated on, and how they are asked."""
        arms = digest(sorted({arm.key for arm in self.arms}))
        return {"template": self.template, "arms": arms, "rows": self.row_count}

    def inputs(self) -> Mapping[str, Step]:
        """Return the variant and every source of the arms."""
        sources = {
            data.task.name: data
            for arm in self.arms
            for data in (arm.data, *(data for data, _ in (*arm.added, *arm.replayed)))
        }
        sources.pop(self.target.task.name, None)
        others = {f"other {index}": sources[name] for index, name in enumerate(sorted(sources))}
        return {"variant": self.variant, "target": self.target, **others}


@dataclass(frozen=True, slots=True)
class Held:
    """Rows that arms train on, by which others are recognised."""

    ids: Set[str]
    """An id names file and row."""
    texts: Set[str]
    """Normalised input fields, whatever these are called."""

    @classmethod
    def of(cls, rows: Iterable[Example]) -> Held:
        """Return what recognises the rows."""
        distinct = {(row.id, *row.fields.values()): row for row in rows}.values()
        return cls({row.id for row in distinct}, {_text(row) for row in distinct})

    def __contains__(self, row: Example) -> bool:
        return row.id in self.ids or _text(row) in self.texts


def _text(row: Example) -> str:
    return " ".join(text_of(row))


def validation_rows(
    step: Validate, prepared: Callable[[Prepare], PreparedTask], held: Held, encoder: Encoder
) -> TrainingRows:
    """Return the rows; the same for every variant of a target and seed, whatever it was trained on.

    Args:
        held: What the arms train on.

    Raises:
        UserError: If the target has too few rows left.
    """
    from spillover.training.rows import encode_rows

    source, finetune = prepared(step.target), step.variant.trained
    ordered = training_rows(source, len(source.train), seed=finetune.seed)
    free = [row for row in ordered if row not in held]
    rows, _ = protocol_rows(source, split="train", protocol=finetune.protocol, rows=free)
    own = rows[: step.row_count]
    if len(own) < FEWEST:
        raise UserError(
            f"task {source.task!r}: {len(own)} of its {len(source.train)} training rows are left for validation after "
            f"{len(ordered) - len(free)} that arms train on, of all sizes and seeds together; at least {FEWEST} are "
            "needed: lower sizes, caps or seeds, replay another task, or run without --budget and without validation "
            "in mix"
        )
    settings, length = finetune.settings, finetune.base.context_length
    return encode_rows(encoder, Template(step.template), own, (), settings, context_length=length)


def validation_loss(model: PreTrainedModel, rows: TrainingRows) -> dict[str, float]:
    """Return ``loss``, the mean over all target tokens in nats, and ``rows``, how many there are."""
    from spillover.training.fit import SharedPrefixLogits
    from spillover.training.probe import general_loss

    return {"loss": general_loss(model, SharedPrefixLogits(model), rows.rows), "rows": float(len(rows.rows))}
