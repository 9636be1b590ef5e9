"""One prediction for every example of a cell: labels by log-likelihood, free text by greedy generation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spillover.errors import UserError
from spillover.prompts.answers import cut
from spillover.prompts.encoding import Encoder, TokenIds, common_prefix_length
from spillover.prompts.grouping import DECODING_GROUP_COST, SCORING_GROUP_COST, prefix_groups
from spillover.records import Cell, Example, FloatArray, Prediction, PromptCard
from spillover.tasks.prepare import left_out

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spillover.models.scoring import PrefixCache

Row = tuple[float, ...]
"""What is computed of one prompt: a log-likelihood in nats for each of its answers, or the generated token ids."""
Rows = Mapping[int, Row]
"""Number of a prompt to its row: the cell's prompts first, then the content-free ones, then the premises."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked in one cell: the same text for the base and for every variant."""

    cell: Cell
    examples: tuple[Example, ...]
    prompts: tuple[str, ...]
    """Rendered prompts, in the order of the examples."""
    answers: tuple[str, ...]
    """The answer set; empty for free text, and where each example has options of its own."""
    max_new_tokens: int = 60
    stop: str = "\n\n"
    content_free: tuple[str, ...] = ()
    """The prompt with content-free fields, to be asked beside the examples; empty when no one needs to know."""
    premise: str = ""
    """The end of the prompt alone, likewise."""
    has_own_demonstrations: bool = False
    """Whether each example has demonstrations of its own, so that prompts share no one beginning."""


@dataclass(frozen=True, slots=True)
class EncodedCell:
    """A cell's token ids, computed once for all models that share a tokenizer."""

    asked: Asked
    prompts: tuple[TokenIds, ...]
    answers: tuple[TokenIds, ...]
    """Of the answer set."""
    options: tuple[tuple[TokenIds, ...], ...] = ()
    """Of each example's own options; empty where there is an answer set, or free text."""
    content_free: tuple[TokenIds, ...] = ()
    premise: TokenIds = ()

    @property
    def choices(self) -> Sequence[Sequence[TokenIds]]:
        """Each example's answers; empty for free text."""
        return self.options or ([self.answers] * len(self.prompts) if self.answers else ())

    @property
    def asked_free(self) -> Sequence[Sequence[TokenIds]]:
        """The answers whose scores without an input are asked: once for an answer set, else for each example."""
        return self.choices if self.options else self.choices[:1]

    @property
    def row_count(self) -> int:
        """Prompts of every kind that a model is asked."""
        free = len(self.content_free) + bool(self.premise)
        return len(self.prompts) + free * len(self.asked_free)

    def groups(self) -> list[list[int]]:
        """Return which prompts are computed behind one shared prefix: all, or those that share much of their own."""
        if not self.asked.has_own_demonstrations:
            return [list(range(len(self.prompts)))]
        cost = SCORING_GROUP_COST if self.choices else DECODING_GROUP_COST * self.asked.max_new_tokens
        return prefix_groups(self.prompts, group_cost=cost)

    def card(self) -> PromptCard:
        """Return the first prompt as the report shows it."""
        example = self.asked.examples[0]
        answers = self.options[0] if self.options else self.answers
        return PromptCard(
            self.asked.cell,
            example.id,
            self.asked.prompts[0],
            self.prompts[0],
            common_prefix_length(self.prompts),
            example.target,
            dict(zip(example.options or self.asked.answers, answers, strict=True)),
        )


def encode_cell(
    asked: Asked, encoder: Encoder, *, context_length: int, dropped: Mapping[str, int] | None = None
) -> EncodedCell:
    """Encode a cell; ``dropped`` says of rows that are not asked how many there are for each reason.

    Raises:
        UserError: If there is nothing to ask, if a prompt with its answer does not fit the model's context, or if two
            answers have the same token ids.
    """
    where = f"task {asked.cell.tested_on!r} at {asked.cell.shots} shots"
    if len(asked.prompts) < 2:
        left = len(asked.prompts)
        raise UserError(
            f"{where}: {left} test rows are left to ask, at least two are needed; give the task more rows"
            f"{left_out(dropped or {})}"
        )
    prompts = tuple(encoder.prompts(asked.prompts))
    answers = tuple(encoder.targets(asked.answers))
    options = tuple(tuple(encoder.targets(example.options)) for example in asked.examples if example.options)
    cell = EncodedCell(
        asked, prompts, answers, options, tuple(encoder.prompts(asked.content_free)), _premise(asked, encoder)
    )
    if len(set(answers)) < len(answers):
        raise UserError(f"{where}: two of the answers {list(asked.answers)} have the same token ids; rename one")
    for example, ids in zip(asked.examples, options, strict=bool(options)):
        if len(set(ids)) < len(ids):
            raise UserError(f"{where}: row {example.id!r} has two options with the same token ids; change one")
    for example, prompt, choices in zip(asked.examples, prompts, cell.choices or [()] * len(prompts), strict=True):
        room = max((len(ids) for ids in choices), default=asked.max_new_tokens)
        if len(prompt) + room > context_length:
            raise UserError(
                f"{where}: row {example.id!r} has a prompt of {len(prompt)} tokens and needs {room} more for its "
                f"answer, the model's context holds {context_length}; use fewer shots or set field_limits on the task"
            )
    return cell


def fitting(asked: Asked, encoder: Encoder, *, context_length: int) -> Sequence[int]:
    """Return the places of the examples whose prompt and longest answer fit a context."""
    found = []
    known = max(map(len, encoder.targets(asked.answers)), default=0)
    for place, (example, prompt) in enumerate(zip(asked.examples, encoder.prompts(asked.prompts), strict=True)):
        room = max(map(len, encoder.targets(example.options)), default=known) or asked.max_new_tokens
        if len(prompt) + room <= context_length:
            found.append(place)
    return found


def _premise(asked: Asked, encoder: Encoder) -> TokenIds:
    return encoder.prompts([asked.premise])[0] if asked.premise else ()


def predict(
    model: PreTrainedModel,
    cell: EncodedCell,
    encoder: Encoder,
    prefixes: PrefixCache | None = None,
    *,
    known: Rows | None = None,
    keep: Callable[[Rows], None] | None = None,
) -> list[Prediction]:
    """Return one prediction for every example of the cell, in their order.

    Args:
        model: Any model that shares the cell's tokenizer.
        cell: What is asked.
        encoder: Decodes what is generated; its end token ends it.
        prefixes: A cache of shared prefixes to reuse over cells.
        known: Rows that an earlier call kept. The others come out the same to the last bit, whichever these are.
        keep: Called with every finished batch.
    """
    work = _Work(model, prefixes, dict(known or {}), keep)
    return _choose(work, cell) if cell.choices else _write(work, cell, encoder)


class _Work:
    """The rows of a cell that are done, and how the others are computed."""

    def __init__(
        self,
        model: PreTrainedModel,
        prefixes: PrefixCache | None,
        done: dict[int, Row],
        keep: Callable[[Rows], None] | None,
    ) -> None:
        self.model = model
        self.prefixes = prefixes
        self.done = done
        self._keep = keep

    def finish(self, rows: Rows) -> None:
        """Take in a finished batch."""
        self.done.update(rows)
        if self._keep:
            self._keep(rows)

    def scores(
        self,
        first: int,
        prompts: Sequence[TokenIds],
        answers: Sequence[Sequence[TokenIds]],
        *,
        shares: bool = True,
        groups: Sequence[Sequence[int]] = (),
    ) -> list[FloatArray]:
        """Return the log-likelihoods of each prompt's answers, the prompts being numbered from ``first`` on.

        ``groups`` are computed one by one; by default all prompts together.
        """
        from spillover.models.scoring import answer_score_batches

        prefixes = self.prefixes if shares else None
        for group in groups or [range(len(prompts))]:
            known = {place for place, index in enumerate(group) if first + index in self.done}
            own, choices = [prompts[index] for index in group], [answers[index] for index in group]
            for batch in answer_score_batches(self.model, own, choices, known=known, prefixes=prefixes):
                self.finish({first + group[place]: _floats(row.log_likelihoods) for place, row in batch.items()})
        return [np.array(self.done[first + index]) for index in range(len(prompts))]


def _choose(work: _Work, cell: EncodedCell) -> list[Prediction]:
    """Score the answers to every example, and after content-free prompts, in one pass over the cell."""
    count = len(cell.prompts)
    asked_free = cell.asked_free
    # The content-free prompts of one example follow one another: they share the cell's prefix and their answers.
    free = [(prompt, choices) for choices in asked_free for prompt in cell.content_free]
    groups = cell.groups() if cell.asked.has_own_demonstrations else ()
    scores = work.scores(
        0,
        [*cell.prompts, *(prompt for prompt, _ in free)],
        [*cell.choices, *(choices for _, choices in free)],
        groups=groups,
    )
    forms = len(cell.content_free)
    content_free = [_mean_share(scores[start : start + forms]) for start in range(count, len(scores), forms or 1)]
    premises: list[FloatArray] = []
    if cell.premise:  # behind no demonstrations, so apart from the cell's prefix
        premises = work.scores(len(scores), [cell.premise] * len(asked_free), asked_free, shares=False)
    return [
        Prediction(
            example.id,
            example.target,
            (example.options or cell.asked.answers)[int(scores[index].argmax())],
            _floats(scores[index]),
            options=example.options,
            content_free=_of_row(content_free, index),
            premise=_of_row(premises, index),
        )
        for index, example in enumerate(cell.asked.examples)
    ]


def _mean_share(scores: Sequence[FloatArray]) -> FloatArray:
    """Return the log of each answer's share of the answer set, averaged over prompts (Zhao et al. 2021, section 5)."""
    shares = np.stack([row - np.logaddexp.reduce(row) for row in scores])
    return np.asarray(np.logaddexp.reduce(shares, axis=0) - np.log(len(scores)), dtype=np.float64)


def _of_row(values: Sequence[FloatArray], index: int) -> tuple[float, ...]:
    """Return an example's own values, or those that all examples have in common."""
    return _floats(values[index] if len(values) > 1 else values[0]) if values else ()


def _floats(values: FloatArray) -> tuple[float, ...]:
    return tuple(map(float, values))


def _write(work: _Work, cell: EncodedCell, encoder: Encoder) -> list[Prediction]:
    from spillover.models.generation import generate_batches

    for group in cell.groups():
        for batch in generate_batches(
            work.model,
            [cell.prompts[index] for index in group],
            max_new_tokens=cell.asked.max_new_tokens,
            end_token_id=encoder.end_token_id,
            is_finished=holds(encoder, cell.asked.stop),
            known={place: work.done[index] for place, index in enumerate(group) if index in work.done},
            prefixes=work.prefixes,
        ):
            work.finish({group[place]: row for place, row in batch.items()})
    generated = [tuple(map(int, work.done[index])) for index in range(len(cell.prompts))]
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
