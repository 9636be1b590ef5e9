"""Prepares a task's rows: read, cleaned, divided, checked against the pinned digest."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from spillover.errors import UserError
from spillover.prompts.demonstrations import seeded_order, without
from spillover.records import Example
from spillover.tasks.collection import no_collection
from spillover.tasks.rows import Rows, examples_of, with_groups
from spillover.tasks.source import Places, Source, Sources, source_rows
from spillover.tasks.split import apart, distinct, split_pool
from spillover.tasks.suite import Suite
from spillover.tasks.task import Task

Protocol = Literal["clean", "literal"]
"""``clean`` drops rows that equal a demonstration, have no answer or an empty field; ``literal`` keeps them."""


@dataclass(frozen=True, slots=True)
class PreparedTask:
    """The rows of a task, divided."""

    task: str
    train: tuple[Example, ...]
    demonstrations: tuple[Example, ...]
    test: tuple[Example, ...]
    train_blocks: tuple[int, ...]
    """Ends of the training files within ``train``; one block when they are drawn from a pool."""
    drop_targets: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Rows read and left out, reason to count."""
    shortened: Mapping[str, int] = field(default_factory=dict)
    """Field to the number of kept rows in which it was cut to its limit."""
    account: Mapping[str, int] = field(default_factory=dict)
    """What the counts of ``dropped`` do not say: rows ``read``, rows ``not asked for`` by ``where``, and
    ``contradicting`` ones, repeated texts with another target. Empty in what earlier versions stored."""


def prepare(suite: Suite, task: Task, *, cache: Path, notice: Callable[[str], None] | None = None) -> PreparedTask:
    """Read and divide the rows of a task; a digest that differs from the pinned one raises UserError.

    Archives and release files are kept in ``cache``; ``notice`` is told one line when something new is fetched.
    """
    places = suite.places(cache, notice=notice)
    try:
        with no_collection():
            prepared = _divided(task, places)
    except UserError as error:
        raise UserError(f"task {task.name!r}: {error}") from None
    if task.digest is not None and (found := prepared_digest(prepared)) != task.digest:
        raise UserError(
            f"task {task.name!r} of {suite.path}: its prepared rows have the digest {found}, the suite pins "
            f"{task.digest}; if its settings or data were changed on purpose, pin the new digest"
        )
    return prepared


def protocol_rows(
    prepared: PreparedTask,
    *,
    split: Literal["train", "test"],
    protocol: Protocol,
    rows: Sequence[Example] | None = None,
) -> tuple[tuple[Example, ...], dict[str, int]]:
    """Return the rows a protocol keeps, and the dropped ones by reason.

    ``rows`` is a selection of the split, such as `training_rows`; by default all of it.
    """
    selected = tuple(rows) if rows is not None else (prepared.train if split == "train" else prepared.test)
    if protocol == "literal":
        return selected, {}
    answered, dropped = _usable(selected, prepared.drop_targets)
    kept, shown_count = without(answered, prepared.demonstrations)
    dropped["equals a demonstration"] += shown_count
    return kept, dict(+dropped)


def training_rows(prepared: PreparedTask, size: int, *, seed: int) -> tuple[Example, ...]:
    """Return ``size`` training rows; smaller sizes are the beginning of larger ones.

    Rows are shuffled within a block only, so that the size of a published file gives that file's rows for every seed.
    No protocol is applied; give the result to `protocol_rows`.
    """
    if not 0 < size <= len(prepared.train):
        there = (
            f"{len(prepared.train)}; choose a size from 1 to that"
            if prepared.train
            else "none and can only be tested on"
        )
        raise UserError(
            f"task {prepared.task!r}: {size} training rows asked for; it has {there}{left_out(prepared.dropped)}"
        )
    rows: list[Example] = []
    for start, end in zip((0, *prepared.train_blocks), prepared.train_blocks, strict=False):
        order = seeded_order(end - start, seed=seed, purpose=f"training rows {start}")
        rows += (prepared.train[start + index] for index in order[: size - len(rows)])
    return tuple(rows)


def left_out(dropped: Mapping[str, int]) -> str:
    """Return the rows left out, by reason, as the end of a message: ``; left out: 3 (repeated text)``."""
    return "; left out: " + ", ".join(f"{n} ({reason})" for reason, n in dropped.items()) if dropped else ""


def account_lines(prepared: PreparedTask, sources: Sources) -> list[str]:
    """Return what became of every row that was read, in a few lines that add up."""
    if not prepared.account:
        return []
    dropped = {reason: n for reason, n in prepared.dropped.items() if n}
    if unasked := prepared.account["not asked for"]:
        dropped["not asked for by `where`"] = unasked
    parts = {
        "training": len(prepared.train),
        "demonstrations": len(prepared.demonstrations),
        "test": len(prepared.test),
    }
    used = ", ".join(f"{count} {part}" for part, count in parts.items())
    lines = [f"{prepared.account['read']} rows read: {used}, {sum(dropped.values())} left out"]
    lines += [f"  {count} left out: {reason}" for reason, count in dropped.items()]
    if count := prepared.account["contradicting"]:
        lines.append(
            f"  {count} of the repeated contradict: the same input with another target than the row that is kept"
        )
    if prepared.shortened and (cut := {name: n for name, n in prepared.shortened.items() if n}):
        lines.append("  too long and cut: " + ", ".join(f"{name} in {count} rows" for name, count in cut.items()))
    if sources.train or sources.demonstrations or sources.test:  # parts of a pool hold nothing that clean leaves out
        parts_of_clean: tuple[tuple[Literal["train", "test"], str], ...] = (("train", "training"), ("test", "test"))
        for split, name in parts_of_clean:
            if clean := protocol_rows(prepared, split=split, protocol="clean")[1]:
                lines.append(f"  of the {name} rows, protocol clean leaves out{left_out(clean).partition(':')[2]}")
    return lines


def to_record(prepared: PreparedTask) -> dict[str, object]:
    """Return the rows as plain data for JSON; `from_record` turns it back."""
    rows = {part: [_record(row) for row in getattr(prepared, part)] for part in ("train", "demonstrations", "test")}
    return {
        "task": prepared.task,
        **rows,
        "train_blocks": list(prepared.train_blocks),
        "drop_targets": list(prepared.drop_targets),
        "dropped": dict(prepared.dropped),
        "shortened": dict(prepared.shortened),
        "account": dict(prepared.account),
    }


def from_record(record: Mapping[str, object]) -> PreparedTask:
    """Read what `to_record` wrote, before or after a passage through JSON."""
    plain = json.loads(json.dumps(record))
    return PreparedTask(
        task=plain["task"],
        train=tuple(map(_example, plain["train"])),
        demonstrations=tuple(map(_example, plain["demonstrations"])),
        test=tuple(map(_example, plain["test"])),
        train_blocks=tuple(plain["train_blocks"]),
        drop_targets=tuple(plain["drop_targets"]),
        dropped=plain["dropped"],
        shortened=plain["shortened"],
        account=plain.get("account", {}),
    )


def _record(row: Example) -> list[object]:
    """Write a row; one without options is written as if there were none, so that its digest needs no new pin."""
    return [row.id, dict(row.fields), row.target, row.group, *([list(row.options)] if row.options else [])]


def _example(record: list[Any]) -> Example:
    identity, fields, target, group, *options = record
    return Example(identity, fields, target, group, tuple(options[0]) if options else ())


def prepared_digest(prepared: PreparedTask) -> str:
    """Return the SHA-256 of the rows and all counts of ``prepared`` but its account, as canonical JSON."""
    record = {name: value for name, value in to_record(prepared).items() if name != "account"}
    text = json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _usable(rows: Sequence[Example], drop_targets: Sequence[str]) -> tuple[list[Example], Counter[str]]:
    kept, dropped = [], Counter[str]()
    for row in rows:
        if row.target in drop_targets:
            dropped[f"target {row.target!r}"] += 1
        elif not all(value.strip() for value in row.fields.values()):
            dropped["empty field"] += 1
        else:
            kept.append(row)
    return kept, dropped


def _divided(task: Task, places: Places) -> PreparedTask:
    sources = task.sources
    # One file at a time for training, whose sizes are the blocks.
    train_files = [_read([source], task, places) for source in sources.train]
    pool, demonstrations, test = (_read(s, task, places) for s in (sources.pool, sources.demonstrations, sources.test))
    read = [*train_files, pool, demonstrations, test]
    with_groups(read)
    dropped = sum((rows.dropped for rows in read), Counter[str]())

    shown, tested = tuple(demonstrations.examples), tuple(test.examples)
    drawn: tuple[Example, ...] = ()
    contradicting_count = 0
    if sources.pool:
        usable, reasons = _usable(pool.examples, task.drop_targets)
        usable, repeated_count, contradicting_count = distinct(usable)
        usable, near_reasons = apart(usable, (*shown, *tested), "a row of another part")
        # Rows with options are divided alike whether they are asked as text or as letters.
        labels = () if task.options else task.answers
        dropped += reasons + near_reasons + Counter({"repeated text": repeated_count})
        asked = {"demonstrations": not sources.demonstrations, "test": not sources.test}
        try:
            parts = split_pool(usable, task.split, labels, **asked)
        except UserError as error:
            raise UserError(f"{error}{left_out(+dropped)}") from None
        dropped += parts.dropped
        shown, tested = shown or parts.demonstrations, tested or parts.test
        drawn = parts.train
    train = drawn
    blocks: tuple[int, ...] = (len(drawn),) if drawn else ()
    if sources.train:
        train, blocks, reasons, contradicting_among = _training(train_files, tested, shown)
        dropped += reasons
        contradicting_count += contradicting_among
    limit = task.split.train
    if limit is not None and limit < len(train):
        usable, reasons = _usable(train, task.drop_targets)
        dropped += reasons + Counter({"not needed for training": max(0, len(usable) - limit)})
        order = seeded_order(len(usable), seed=task.split.seed, purpose="train")[:limit]
        train, blocks = tuple(usable[index] for index in order), (len(order),)
    cut = [rows for rows in read if rows.shortened]
    kept = {row.id for row in (*train, *shown, *tested)} if cut else set()
    shortened = Counter[str]()
    for rows in cut:
        shortened.update({name: len(kept & ids) for name, ids in rows.shortened.items()})
    account = {
        "read": sum(rows.read_count for rows in read),
        "not asked for": sum(rows.unselected_count for rows in read),
        "contradicting": contradicting_count,
    }
    return PreparedTask(
        task.name,
        train,
        shown,
        tested,
        blocks,
        task.drop_targets,
        dict(sorted(dropped.items())),
        dict(shortened),
        account,
    )


def _training(
    files: Sequence[Rows], tested: Sequence[Example], shown: Sequence[Example]
) -> tuple[tuple[Example, ...], tuple[int, ...], Counter[str], int]:
    """Concatenate training files; return rows, the end of each file's rows, drops, and repeated rows that contradict.

    Rows that equal a demonstration stay, because the literal protocol trains on them.
    """
    rows, repeated_count, contradicting_count = distinct(row for file in files for row in file.examples)
    rows, dropped = apart(rows, tested, "a test row")
    shown_groups = {row.group for row in shown if row.group}
    kept = [row for row in rows if row.group not in shown_groups]
    dropped["shares a group with a demonstration"] += len(rows) - len(kept)
    ids = [{row.id for row in file.examples} for file in files]
    counts = [sum(row.id in file_ids for row in kept) for file_ids in ids]
    dropped["repeated text"] += repeated_count
    return tuple(kept), tuple(accumulate(counts)), +dropped, contradicting_count


def _read(sources: Sequence[Source], task: Task, places: Places) -> Rows:
    return examples_of((row for source in sources for row in source_rows(source, places)), task)


def demonstration_count(suite: Suite, task: Task, *, cache: Path) -> int:
    """Return how many demonstrations a task holds, reading no more than their own file."""
    if not task.sources.demonstrations:
        return task.split.demonstrations
    return len(_read(task.sources.demonstrations, task, suite.places(cache)).examples)
