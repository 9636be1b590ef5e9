"""A variant's loss on rows of its target that no variant of the design trains on and no cell tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from spillover.errors import UserError
from spillover.prompts.demonstrations import text_of
from spillover.prompts.encoding import Encoder
from spillover.prompts.template import Template
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
    """Measure a variant's loss on training rows of its target that no arm of its contest trains on."""

    kind: ClassVar[str] = "validate"
    version: ClassVar[int] = 1
    variant: Finetune | Derive
    target: Prepare
    template: str
    beyond: int
    """Training rows of the target that the arms train on; the validation rows follow them."""
    others: tuple[Prepare, ...]
    """Every other source of the design: a validation row that is a training row of one is left out for all variants."""
    row_count: int = VALIDATION_ROWS
    """At most."""

    @property
    def label(self) -> str:
        """What the step is, for people."""
        return f"validate {self.variant.variant}"

    def fields(self) -> Mapping[str, Any]:
        """Return which rows are validated on, and how they are asked."""
        return {"template": self.template, "beyond": self.beyond, "rows": self.row_count}

    def inputs(self) -> Mapping[str, Step]:
        """Return the variant and every source of the contest."""
        others = {f"other {index}": other for index, other in enumerate(self.others)}
        return {"variant": self.variant, "target": self.target, **others}


def validation_rows(step: Validate, prepared: Callable[[Prepare], PreparedTask], encoder: Encoder) -> TrainingRows:
    """Return the rows; the same for every variant of a design, whatever it was trained on.

    Raises:
        UserError: If the target has too few rows left.
    """
    from spillover.training.rows import encode_rows

    source, finetune = prepared(step.target), step.variant.trained
    ordered = training_rows(source, len(source.train), seed=finetune.seed)
    rows, _ = protocol_rows(source, split="train", protocol=finetune.protocol, rows=ordered[step.beyond :])
    used = {" ".join(text_of(row)) for other in step.others for row in prepared(other).train}
    own = [row for row in rows if " ".join(text_of(row)) not in used][: step.row_count]
    if len(own) < FEWEST:
        raise UserError(
            f"task {source.task!r}: {len(own)} of its {len(source.train)} training rows are left for validation after "
            f"{step.beyond} to train on; at least {FEWEST} are needed: lower the size, or run without --budget and "
            "without validation in mix"
        )
    settings, length = finetune.settings, finetune.base.context_length
    return encode_rows(encoder, Template(step.template), own, (), settings, context_length=length)


def validation_loss(model: PreTrainedModel, rows: TrainingRows) -> dict[str, float]:
    """Return ``loss``, the mean over all target tokens in nats, and ``rows``, how many there are."""
    from spillover.training.fit import SharedPrefixLogits
    from spillover.training.probe import general_loss

    return {"loss": general_loss(model, SharedPrefixLogits(model), rows.rows), "rows": float(len(rows.rows))}
