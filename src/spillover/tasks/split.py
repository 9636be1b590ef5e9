"""Divides a pool of examples into demonstrations, test and training rows that share no text and no group."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from spillover.errors import UserError
from spillover.prompts.demonstrations import seeded_order, text_of
from spillover.records import Example
from spillover.tasks.task import Split

LARGE_GROUP_SHARE = 0.1
"""A group with more rows than this share of the test part goes to training, or one passage would be the whole test."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A divided pool."""

    train: tuple[Example, ...] = ()
    demonstrations: tuple[Example, ...] = ()
    test: tuple[Example, ...] = ()
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason to count."""


def distinct(rows: Iterable[Example]) -> tuple[list[Example], int, int]:
    """Keep the first of the rows whose input fields are equal, normalised.

    Also return how many were left out, and how many of these have another target than the one that is kept.
    """
    first: dict[tuple[str, ...], Example] = {}
    repeated_count = contradicting_count = 0
    for row in rows:
        kept = first.setdefault(text_of(row), row)
        if kept is not row:
            repeated_count += 1
            contradicting_count += row.target != kept.target
    return list(first.values()), repeated_count, contradicting_count


def apart(rows: Sequence[Example], others: Sequence[Example], what: str) -> tuple[list[Example], Counter[str]]:
    """Drop the rows that equal one of the others in text, or are of a group with one.

    ``what`` names the others in the reasons: ``"a test row"``.
    """
    if not others:
        return list(rows), Counter()
    texts, groups = {text_of(row) for row in others}, {row.group for row in others if row.group}
    kept, dropped = [], Counter[str]()
    for row in rows:
        if text_of(row) in texts:
            dropped[f"equals {what}"] += 1
        elif row.group in groups:
            dropped[f"shares a group with {what}"] += 1
        else:
            kept.append(row)
    return kept, dropped


def split_pool(
    rows: Sequence[Example], split: Split, answers: Sequence[str], *, demonstrations: bool = True, test: bool = True
) -> Parts:
    """Divide distinct rows by group; the same rows and split give the same parts.

    Demonstrations come first, one a group and in turn over the answers; then test rows, whole groups at a time; the
    rest is for training. A part that is switched off, because the task has it from elsewhere, gets nothing.
    """
    demonstration_count = split.demonstrations if demonstrations else 0
    test_count = split.test if test else 0
    if demonstration_count + test_count > len(rows):
        raise UserError(
            f"the pool has {len(rows)} usable rows; the split asks for {demonstration_count} demonstrations and "
            f"{test_count} test rows; lower split.demonstrations or split.test, or add rows"
        )
    ordered = _ordered_groups(rows, split.seed, large=max(1, round(LARGE_GROUP_SHARE * test_count)))
    shown, groups, dropped = _demonstrations(ordered, demonstration_count, answers)
    test_rows: list[Example] = []
    while len(test_rows) < test_count:
        if not groups:
            raise UserError(
                f"the pool's groups leave {len(test_rows)} test rows; the split asks for {test_count}; lower split.test"
            )
        group = groups.popleft()
        room = test_count - len(test_rows)
        test_rows += group[:room]
        dropped["shares a group with a test row"] += len(group[room:])
    train = [row for group in groups for row in group]
    # A limit on test rows takes the first ones; without another shuffle these would be of few groups.
    return Parts(_shuffled(train, split.seed, "train"), shown, _shuffled(test_rows, split.seed, "test"), +dropped)


def _shuffled(rows: Sequence[Example], seed: int, purpose: str) -> tuple[Example, ...]:
    return tuple(rows[index] for index in seeded_order(len(rows), seed=seed, purpose=purpose))


def _ordered_groups(rows: Sequence[Example], seed: int, *, large: int) -> list[list[Example]]:
    by_name: dict[str, list[Example]] = {}
    for row in rows:
        by_name.setdefault(row.group or f"\0{row.id}", []).append(row)
    groups = list(by_name.values())
    shuffled = [groups[index] for index in seeded_order(len(groups), seed=seed, purpose="groups")]
    return sorted(shuffled, key=lambda group: len(group) > large)


def _demonstrations(
    groups: list[list[Example]], count: int, answers: Sequence[str]
) -> tuple[tuple[Example, ...], deque[list[Example]], Counter[str]]:
    labels = [answer for answer in answers if any(row.target == answer for group in groups for row in group)] or [""]
    quota = {label: len(range(position, count, len(labels))) for position, label in enumerate(labels)}
    taken: dict[str, list[Example]] = {label: [] for label in labels}
    left, dropped = deque[list[Example]](), Counter[str]()
    taken_count = 0
    for place, group in enumerate(groups):
        if taken_count == count:
            left.extend(groups[place:])
            break
        for row in group:
            label = row.target if answers else ""
            if len(taken[label]) < quota[label]:
                taken[label].append(row)
                taken_count += 1
                dropped["shares a group with a demonstration"] += len(group) - 1
                break
        else:
            left.append(group)
    for label in labels:
        if len(taken[label]) < quota[label]:
            raise UserError(
                f"the pool gives {len(taken[label])} demonstrations{f' labelled {label!r}' if label else ''}, one a "
                f"group; {quota[label]} are needed for split.demonstrations = {count}; lower it or add rows"
            )
    return tuple(taken[labels[i % len(labels)]][i // len(labels)] for i in range(count)), left, dropped
