"""Builds the rows of a mixture, or of a replay, from prepared sources: cleaned, kept apart, encoded and reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from spillover.errors import UserError
from spillover.prompts.demonstrations import text_of
from spillover.prompts.encoding import common_prefix_length
from spillover.prompts.template import Template
from spillover.records import Example
from spillover.steps.rows import Encoding, Rows, Sources
from spillover.tasks.coverage import coverage
from spillover.tasks.mixture import Mixture, Portion, portions
from spillover.tasks.prepare import PreparedTask, protocol_rows, training_rows
from spillover.tasks.task import Task
from spillover.training.settings import Demonstrations

if TYPE_CHECKING:
    from spillover.training.rows import MixedRows, TrainingRow, TrainingRows

Drops = dict[str, int]


@dataclass(frozen=True, slots=True)
class _Source:
    """One source of a mixture, its rows in the order in which they are taken."""

    task: Task
    examples: tuple[Example, ...]
    rows: tuple[TrainingRow, ...]
    """The same as token ids, without those that are too long."""
    dropped: Drops

    def reached(self, count: int) -> tuple[Example, ...]:
        """Return the examples among which so many rows are found: the next ones take the place of those too long."""
        return self.examples[: count + len(self.examples) - len(self.rows)]


def mixed_rows(rows: Rows, mixture: Mixture, how: Encoding, prepared: Sources) -> MixedRows:
    """Return the rows a mixture trains on; a pure function of the mixture, its sources and the seed.

    Every source keeps its own prompt and, where the recipe demonstrates, its own demonstrations.

    Raises:
        UserError: If a source has too few rows or demonstrations, or would get nothing.
    """
    from spillover.training.rows import MixedRows, TrainingRows

    sources = _sources(rows, how, prepared)
    if rows.if_fewer:
        _check_amounts(how.variant, mixture, sources, rows.if_fewer)
    lengths = {name: [len(row.target) for row in source.rows] for name, source in sources.items()}
    taken = portions(mixture, list(lengths.values()), size=rows.size)
    by_name = {portion.task: _taken(portion, sources[portion.task].rows) for portion in taken}
    stages = [[row for name in names for row in by_name[name]] for names in mixture.stages()]
    counts = {portion.task: len(set(portion.rows)) for portion in taken}
    distinct = {name: sources[name].examples[:count] for name, count in counts.items()}
    specialist = [(sources[name].task, own) for name, own in distinct.items() if name in mixture.specialist()]
    report = {
        **_shares(taken, lengths),
        "dropped": {name: source.dropped for name, source in sources.items()},
        "stages": [list(names) for names in mixture.stages()],
        "coverage": coverage(specialist).number,
    }
    all_rows = tuple(row for own in stages for row in own)
    return MixedRows(
        rows=all_rows,
        shared_prefix_length=common_prefix_length([row.prompt for row in all_rows]),
        dropped=dict(sum((Counter(source.dropped) for source in sources.values()), Counter[str]())),
        stages=tuple(TrainingRows(tuple(own), common_prefix_length([row.prompt for row in own]), {}) for own in stages),
        first_epochs=mixture.general_epochs,
        report=report,
        examples=distinct,
        target_dropped=sources[mixture.target].dropped,
        reached={name: sources[name].reached(count) for name, count in counts.items()},
    )


def _sources(rows: Rows, how: Encoding, prepared: Sources) -> dict[str, _Source]:
    """Return every source by its task, the target first, then what is added, in order."""
    parts = [(rows.data, rows.template), *rows.added]
    sources = [prepared(data) for data, _ in parts]
    found = {}
    for (data, template), source, (own, drops) in zip(parts, sources, _apart(rows, sources), strict=True):
        where = f"variant {how.variant!r}: its mixture, task {data.task.name!r}"
        encoded = _encoded(how, template, source, own, where=where)
        dropped = drops | {reason: drops.get(reason, 0) + count for reason, count in encoded.dropped.items()}
        found[data.task.name] = _Source(data.task, own, encoded.rows, dropped)
    return found


def _apart(rows: Rows, sources: Sequence[PreparedTask]) -> Iterator[tuple[tuple[Example, ...], Drops]]:
    """Yield each source's rows in the order they are taken, and what was dropped of it.

    The target's rows are those of a variant trained on it alone. Of the others goes what equals, in normalised text,
    a test row or demonstration of any source, a row of a source before it, or an earlier row of its own.
    """
    held_out = _held_out(sources)
    seen: dict[str, str] = {}
    for position, source in enumerate(sources):
        count = len(source.train) if position else rows.size
        selected = training_rows(source, count, seed=rows.seed)
        own, drops = protocol_rows(source, split="train", protocol=rows.protocol, rows=selected)
        if position:
            own, repeats = _new(own, source.task, held_out, seen)
            drops = {**drops, **repeats}
        seen.update({_text(row): source.task for row in own})
        yield own, drops


def replayed_rows(rows: Rows, how: Encoding, prepared: Sources) -> tuple[TrainingRows, ...]:
    """Return the rows of each task that the recipe replays, behind no demonstrations.

    Raises:
        UserError: If none of a task's is left.
    """
    found = []
    plain = replace(how, shown=Demonstrations(count=0))
    for (data, template), (own, drops) in zip(rows.replayed, replayed_examples(rows, prepared), strict=True):
        where = f"variant {how.variant!r}: its replay of task {data.task.name!r}"
        encoded = _encoded(plain, template, prepared(data), own, where=where)
        found.append(replace(encoded, dropped={**drops, **encoded.dropped}))
    return tuple(found)


def replayed_examples(rows: Rows, prepared: Sources) -> list[tuple[tuple[Example, ...], Drops]]:
    """Return the training rows of each replayed task without test rows and demonstrations of it or what is trained."""
    sources = [prepared(data) for data, _ in rows.replayed]
    held_out = _held_out([prepared(rows.data), *(prepared(data) for data, _ in rows.added), *sources])
    found = []
    for source in sources:
        own, drops = protocol_rows(source, split="train", protocol=rows.protocol)
        kept, equal = _new(own, source.task, held_out, {})
        found.append((kept, {**drops, **equal}))
    return found


def learnt_rows(rows: Rows, encoded: TrainingRows | None, prepared: Sources) -> Iterator[Example]:
    """Yield every row among which a training takes its own, those it replays with them; ``encoded`` is of a mixture."""
    from spillover.training.rows import MixedRows

    if isinstance(encoded, MixedRows):
        yield from chain.from_iterable(encoded.reached.values())
    else:
        yield from training_rows(prepared(rows.data), rows.size, seed=rows.seed)
    for own, _ in replayed_examples(rows, prepared):
        yield from own


def _held_out(sources: Sequence[PreparedTask]) -> dict[str, str]:
    """Return the normalised text of every test row and demonstration, and its task."""
    return {_text(row): source.task for source in sources for row in (*source.demonstrations, *source.test)}


def _new(
    rows: Sequence[Example], task: str, held_out: Mapping[str, str], seen: Mapping[str, str]
) -> tuple[tuple[Example, ...], Drops]:
    own: set[str] = set()
    kept, dropped = [], Counter[str]()
    for row in rows:
        text = _text(row)
        if text in held_out:
            dropped[f"equals a test row or demonstration of {held_out[text]}"] += 1
        elif text in seen:
            dropped[f"equals a row of {seen[text]}"] += 1
        elif text in own:
            dropped[f"repeated text in {task}"] += 1
        else:
            own.add(text)
            kept.append(row)
    return tuple(kept), dict(dropped)


def _text(row: Example) -> str:
    """Return a row's normalised input, whatever its fields are called."""
    return " ".join(text_of(row))


def _encoded(
    how: Encoding, template: str, source: PreparedTask, rows: Sequence[Example], *, where: str
) -> TrainingRows:
    from spillover.training.rows import encode_rows

    if not rows:
        raise UserError(
            f"{where}: all of its {len(source.train)} training rows are held out or repeat others; remove it"
        )
    try:
        return encode_rows(
            how.encoder,
            Template(template),
            rows,
            how.shown.chosen_from(source.demonstrations),
            how.settings,
            context_length=how.context_length,
        )
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _check_amounts(variant: str, mixture: Mixture, sources: Mapping[str, _Source], remedy: str) -> None:
    """Raise UserError where a source has fewer rows than its cap."""
    for member in mixture.added:
        own = sources[member.task]
        if member.cap and len(own.rows) < member.cap:
            raise UserError(
                f"variant {variant!r}: its mixture, task {member.task!r}: {member.cap} rows asked for, of which "
                f"{len(own.rows)} are left to train on; {remedy}"
            )


def _taken(portion: Portion, rows: Sequence[TrainingRow]) -> list[TrainingRow]:
    from spillover.training.rows import TrainingRow

    taken = [rows[index] for index in portion.rows]
    if portion.last_token_count is not None:
        taken[-1] = TrainingRow(taken[-1].prompt, taken[-1].target[: portion.last_token_count])
    return taken


def _shares(taken: Sequence[Portion], lengths: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Return what each source gives: rows, how many of them come again, target tokens, and its part of both."""
    rows = {portion.task: len(portion.rows) for portion in taken}
    tokens = {portion.task: portion.token_count(lengths[portion.task]) for portion in taken}
    return {
        "rows": rows,
        "repeated_rows": {portion.task: len(portion.rows) - len(set(portion.rows)) for portion in taken},
        "target_tokens": tokens,
        "row_shares": {task: count / sum(rows.values()) for task, count in rows.items()},
        "token_shares": {task: count / sum(tokens.values()) for task, count in tokens.items()},
    }
