"""Builds the rows of a mixture, or of a replay, from prepared sources: cleaned, kept apart, encoded and reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from spillover.training.optimization import TrainingSettings
from spillover.training.settings import Demonstrations

if TYPE_CHECKING:
    from spillover.training.rows import MixedRows, TrainingRow, TrainingRows

Drops = dict[str, int]


def mixed_rows(rows: Rows, mixture: Mixture, how: Encoding, prepared: Sources) -> MixedRows:
    """Return the rows a mixture trains on; a pure function of the mixture, its sources and the seed.

    Every source keeps its own prompt and, where the recipe demonstrates, its own demonstrations.

    Raises:
        UserError: If a source has too few rows or demonstrations, or would get nothing.
    """
    from spillover.training.rows import MixedRows, TrainingRows

    parts = [(rows.data, rows.template), *rows.added]
    sources = [prepared(data) for data, _ in parts]
    examples, reasons = _apart(rows, sources)
    encoded: list[TrainingRows] = []
    for (data, template), source, own, drops in zip(parts, sources, examples, reasons, strict=True):
        where = f"variant {how.variant!r}: its mixture, task {data.task.name!r}"
        encoded.append(_encoded(how, template, source, own, where=where))
        drops.update({reason: drops.get(reason, 0) + count for reason, count in encoded[-1].dropped.items()})
    if "general_rows" in rows.arm:
        _check_amounts(how.variant, mixture, encoded[1:])
    by_task = {data.task.name: own for (data, _), own in zip(parts, encoded, strict=True)}
    lengths = {name: [len(row.target) for row in own.rows] for name, own in by_task.items()}
    taken = portions(mixture, list(lengths.values()), size=rows.size)
    by_name = {portion.task: _taken(portion, by_task[portion.task].rows) for portion in taken}
    stages = [[row for name in names for row in by_name[name]] for names in mixture.stages()]
    distinct_counts = {portion.task: len(set(portion.rows)) for portion in taken}
    distinct = {
        data.task.name: own[: distinct_counts[data.task.name]]
        for (data, _), own in zip(parts, examples, strict=True)
        if data.task.name in distinct_counts
    }
    # Of rows that are too long the next ones take the place, so that the last one taken stands further down.
    reached = {
        name: own[: count + len(own) - len(by_task[name].rows)]
        for (data, _), own in zip(parts, examples, strict=True)
        if (count := distinct_counts.get(name := data.task.name))
    }
    specialist = [(data.task, distinct[name]) for data, _ in parts if (name := data.task.name) in mixture.specialist()]
    report = {
        **_shares(taken, lengths),
        "dropped": dict(zip(by_task, reasons, strict=True)),
        "stages": [list(names) for names in mixture.stages()],
        "coverage": coverage(specialist).number,
    }
    all_rows = tuple(row for own in stages for row in own)
    return MixedRows(
        all_rows,
        common_prefix_length([row.prompt for row in all_rows]),
        dict(sum((Counter(drops) for drops in reasons), Counter[str]())),
        tuple(TrainingRows(tuple(own), common_prefix_length([row.prompt for row in own]), {}) for own in stages),
        mixture.general_epochs,
        report,
        distinct,
        reasons[0],
        reached,
    )


def _apart(rows: Rows, sources: Sequence[PreparedTask]) -> tuple[list[tuple[Example, ...]], list[Drops]]:
    """Return each source's rows in the order they are taken, and what was dropped of it.

    The target's rows are those of a variant trained on it alone. Of the others goes what equals, in normalised text,
    a test row or demonstration of any source, a row of a source before it, or an earlier row of its own.
    """
    held_out = _held_out(sources)
    seen: dict[str, str] = {}
    kept, dropped = [], []
    for position, source in enumerate(sources):
        count = len(source.train) if position else rows.size
        selected = training_rows(source, count, seed=rows.seed)
        own, drops = protocol_rows(source, split="train", protocol=rows.protocol, rows=selected)
        if position:
            own, repeats = _new(own, source.task, held_out, seen)
            drops = {**drops, **repeats}
        seen.update({_text(row): source.task for row in own})
        kept.append(own)
        dropped.append(drops)
    return kept, dropped


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


def _check_amounts(variant: str, mixture: Mixture, added: Sequence[TrainingRows]) -> None:
    """Raise UserError where a source has fewer rows than a factorial design names: its arms state that amount."""
    for member, own in zip(mixture.added, added, strict=True):
        if member.cap and len(own.rows) < member.cap:
            raise UserError(
                f"variant {variant!r}: its mixture, task {member.task!r}: {member.cap} rows asked for, of which "
                f"{len(own.rows)} are left to train on; lower general_rows or specialist_rows, or name more tasks"
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


def mixture_card(
    rows: Rows, settings: TrainingSettings, training: Mapping[str, Any], prepared: PreparedTask | None
) -> dict[str, Any]:
    """Return `VariantCard.mixture` of a training: empty where it is neither a mixture nor an arm of `mix`.

    Args:
        rows: What it trains on.
        settings: Of the training.
        training: Of its log; a mixture's own report is under ``mixture``.
        prepared: Rows of the task it trains on, where it is an arm.
    """
    if rows.mixture is None and not rows.arm:
        return {}
    mixture = rows.mixture or Mixture(target=rows.data.task.name)
    found = dict(training["mixture"]) if rows.mixture else _unmixed(rows, settings, training, prepared)
    general = [member.task for member in mixture.added if member.general]
    of_general = set(rows.arm.get("general", general))
    return {
        "target": mixture.target,
        "arm": "mixture",
        "added": [member.task for member in mixture.added if not member.general],
        "left_out": None,
        "general": general,
        "budget": mixture.budget,
        "order": mixture.order,
        "by": mixture.by,
        "temperature": mixture.temperature,
        "specialist_rows": sum(count for name, count in found["rows"].items() if name not in of_general),
        "general_rows": sum(count for name, count in found["rows"].items() if name in of_general),
        "false_share": _false_share(rows),
        **found,
        "coverage": {mixture.target: found["coverage"]},
        **rows.arm,
    }


def _false_share(rows: Rows) -> float | None:
    """Return the share of wrong facts in what is added; None where no facts that a program wrote are."""
    shares = [share for data, _ in rows.added if (share := data.task.false_share) is not None]
    return max(shares, default=None)


def _unmixed(
    rows: Rows, settings: TrainingSettings, training: Mapping[str, Any], prepared: PreparedTask | None
) -> dict[str, Any]:
    """Return the report of an arm that mixes nothing."""
    assert prepared is not None
    task = rows.data.task
    pass_steps = settings.epoch_step_count(training["rows"])
    own = training_rows(prepared, rows.size, seed=rows.seed)
    return {
        "rows": {task.name: training["rows"]},
        "repeated_rows": {task.name: 0},
        "target_tokens": {task.name: round(training["target_token_count"] * pass_steps / training["step_count"])},
        "row_shares": {task.name: 1.0},
        "token_shares": {task.name: 1.0},
        "dropped": {task.name: training["dropped"]},
        "stages": [[task.name]],
        "stage_steps": [training["step_count"]],
        "coverage": coverage([(task, own)]).number,
    }
