"""One prediction for every example of a cell: labels by log-likelihood, free text by greedy generation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spillover.errors import UserError
from spillover.models.generation import generate
from spillover.models.scoring import PrefixCache, answer_log_likelihoods
from spillover.prompts.answers import cut
from spillover.prompts.encoding import Encoder, TokenIds, common_prefix_length
from spillover.records import Cell, Example, Prediction, PromptCard

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked in one cell: the same text for the base and for every variant."""

    cell: Cell
    examples: tuple[Example, ...]
    prompts: tuple[str, ...]
    """Rendered prompts, in the order of the examples."""
    answers: tuple[str, ...]
    """The answer set; empty for free text."""
    max_new_tokens: int = 60
    stop: str = "\n\n"


@dataclass(frozen=True, slots=True)
class EncodedCell:
    """A cell's token ids, computed once for all models that share a tokenizer."""

    asked: Asked
    prompts: tuple[TokenIds, ...]
    answers: tuple[TokenIds, ...]

    def card(self) -> PromptCard:
        """Return the first prompt as the report shows it."""
        example = self.asked.examples[0]
        return PromptCard(
            self.asked.cell,
            example.id,
            self.asked.prompts[0],
            self.prompts[0],
            common_prefix_length(self.prompts),
            example.target,
            dict(zip(self.asked.answers, self.answers, strict=True)),
        )


def encode_cell(asked: Asked, encoder: Encoder, *, context_length: int) -> EncodedCell:
    """Encode a cell.

    Raises:
        UserError: If there is nothing to ask, if a prompt with its answer does not fit the model's context, or if two
            answers have the same token ids.
    """
    where = f"task {asked.cell.tested_on!r} at {asked.cell.shots} shots"
    if not asked.prompts:
        raise UserError(f"{where}: no test row is left to ask; give the task more rows or raise test_limit")
    prompts = tuple(encoder.prompts(asked.prompts))
    answers = tuple(encoder.targets(asked.answers))
    if len(set(answers)) < len(answers):
        raise UserError(f"{where}: two of the answers {list(asked.answers)} have the same token ids; rename one")
    room = max((len(ids) for ids in answers), default=asked.max_new_tokens)
    for example, prompt in zip(asked.examples, prompts, strict=True):
        if len(prompt) + room > context_length:
            raise UserError(
                f"{where}: row {example.id!r} has a prompt of {len(prompt)} tokens and needs {room} more for its "
                f"answer, the model's context holds {context_length}; use fewer shots or set field_limits on the task"
            )
    return EncodedCell(asked, prompts, answers)


def predict(
    model: PreTrainedModel,
    cell: EncodedCell,
    encoder: Encoder,
    prefixes: PrefixCache | None = None,
) -> list[Prediction]:
    """Return one prediction for every example of the cell, in their order."""
    if cell.answers:
        return _choose(model, cell, prefixes)
    return _write(model, cell, encoder, prefixes)


def _choose(model: PreTrainedModel, cell: EncodedCell, prefixes: PrefixCache | None) -> list[Prediction]:
    scores = answer_log_likelihoods(model, cell.prompts, [cell.answers] * len(cell.prompts), prefixes=prefixes)
    return [
        Prediction(example.id, example.target, cell.asked.answers[int(row.argmax())], tuple(map(float, row)))
        for example, row in zip(cell.asked.examples, scores, strict=True)
    ]


def _write(
    model: PreTrainedModel, cell: EncodedCell, encoder: Encoder, prefixes: PrefixCache | None
) -> list[Prediction]:
    generated = generate(
        model,
        cell.prompts,
        max_new_tokens=cell.asked.max_new_tokens,
        end_token_id=encoder.end_token_id,
        is_finished=holds(encoder, cell.asked.stop),
        prefixes=prefixes,
    )
    return [
        Prediction(example.id, example.target, cut(encoder.decode(ids), cell.asked.stop), token_ids=ids)
        for example, ids in zip(cell.asked.examples, generated, strict=True)
    ]


def holds(encoder: Encoder, stop: str) -> Callable[[list[int]], bool]:
    """Return the test whether new tokens hold the stop string.

    A stop string may span tokens and a token may hold more than it, so the test is on decoded text. Only the tail can
    be new, and no token is shorter than nothing: the last ``len(stop) + 8`` tokens are enough.
    """
    tail = len(stop) + 8
    return lambda token_ids: stop in encoder.decode(token_ids[-tail:])
