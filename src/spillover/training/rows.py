"""Training rows as token ids: prompt, target and end token, with every row that does not fit counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spillover.errors import UserError
from spillover.prompts.encoding import Encoder, TokenIds, common_prefix_length
from spillover.prompts.template import Template, demonstrated_prompt
from spillover.records import Example

if TYPE_CHECKING:
    from spillover.training.optimization import TrainingSettings


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """Token ids of one row; the loss is on ``target`` only, which ends in the end token."""

    prompt: TokenIds
    target: TokenIds

    def __len__(self) -> int:
        return len(self.prompt) + len(self.target)


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """The rows to train on and what happened to the others."""

    rows: tuple[TrainingRow, ...]
    shared_prefix_length: int
    """How many first tokens all prompts share."""
    dropped: Mapping[str, int]
    """Reason to count."""


@dataclass(frozen=True, slots=True)
class MixedRows(TrainingRows):
    """The rows of a mixture: all of them, and stage by stage."""

    stages: tuple[TrainingRows, ...] = ()
    first_epochs: int | None = None
    """Passes of the first stage, where they are not those of the settings."""
    report: Mapping[str, object] = field(default_factory=dict)
    """What was mixed, as plain data for the log."""
    examples: Mapping[str, tuple[Example, ...]] = field(default_factory=dict)
    """The rows taken of each source, each once, as they were read."""
    target_dropped: Mapping[str, int] = field(default_factory=dict)
    """Of ``dropped`` what was the target's."""
    reached: Mapping[str, tuple[Example, ...]] = field(default_factory=dict)
    """The first rows of each source, down to the last one taken: more than are taken where some are too long."""


def encode_rows(
    encoder: Encoder,
    template: Template,
    examples: Sequence[Example],
    demonstrations: Sequence[Example] | Callable[[Example], Sequence[Example]],
    settings: TrainingSettings,
    *,
    context_length: int | None = None,
) -> TrainingRows:
    """Render and encode examples, each behind its demonstrations.

    Args:
        demonstrations: The same ones for every example, or a function that gives each example its own; examples then
            share only the template's first words.
        context_length: Tokens the model takes; a row has to fit it as well as ``settings.max_length``.

    Raises:
        UserError: If no row is left.
    """
    shown = demonstrations if callable(demonstrations) else lambda _: demonstrations
    texts = [demonstrated_prompt(template, shown(example), example.fields) for example in examples]
    prompts = encoder.prompts(texts)
    targets = [(*ids, encoder.end_token_id) for ids in encoder.targets([example.target for example in examples])]
    longest = min(settings.max_length, context_length or settings.max_length)
    rows, dropped, trimmed = [], 0, 0
    for prompt, target in zip(prompts, targets, strict=True):
        room = longest - len(target)
        if len(prompt) > room and (settings.overlong == "drop" or room < 1):
            dropped += 1
            continue
        trimmed += len(prompt) > room
        rows.append(TrainingRow(prompt[-room:] if len(prompt) > room else prompt, target))
    if not examples:
        raise UserError(
            "no training row is left: all equal a demonstration, are empty or have no answer; train on more rows "
            "(sizes), or remove the rows that the demonstrations repeat"
        )
    if not rows:
        raise UserError(
            f"none of {len(examples)} training rows is left: all are longer than {longest} tokens; "
            "raise training.max_length, use fewer demonstrations or set training.overlong to trim"
        )
    counts = {f"longer than {longest} tokens": dropped, "prompt trimmed": trimmed}
    shared = common_prefix_length([row.prompt for row in rows])
    return TrainingRows(tuple(rows), shared, {reason: count for reason, count in counts.items() if count})
