"""Which examples are shown in a prompt, and which rows they forbid elsewhere."""

import hashlib
import random
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from spillover.errors import UserError
from spillover.records import Example


def normalised(text: str) -> str:
    """Return the text as it is compared: NFKC, casefolded, runs of whitespace as one space, none at the ends."""
    if text.isascii():  # as most text is, and then composed already
        return " ".join(text.lower().split())
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def text_of(example: Example) -> tuple[str, ...]:
    """Return the normalised input fields of an example, in the order of their names; the target takes no part."""
    return tuple(normalised(example.fields[name]) for name in sorted(example.fields))


def seeded_order(count: int, *, seed: int, purpose: str) -> list[int]:
    """Return a permutation of ``range(count)`` that is the same in every process and version of Python.

    ``purpose`` says what is ordered: two purposes under one seed get unrelated orders.
    """
    return list(_order(count, seed, purpose))


@lru_cache(maxsize=4)  # every variant of a study asks for the order of the same rows, which may be a million
def _order(count: int, seed: int, purpose: str) -> tuple[int, ...]:
    before = f"{purpose}/{seed}/".encode()
    return tuple(sorted(range(count), key=lambda index: hashlib.sha256(b"%b%d" % (before, index)).digest()))


def choose(pool: Sequence[Example], count: int, *, seed: int) -> tuple[Example, ...]:
    """Return ``count`` demonstrations of the pool; fewer are always the beginning of more.

    Seed 0 keeps the pool's own order; every other seed permutes it.
    """
    if count < 0 or count > len(pool):
        raise UserError(f"{count} demonstrations asked for, but there are {len(pool)}; ask for 0 to {len(pool)}")
    order = range(len(pool)) if seed == 0 else seeded_order(len(pool), seed=seed, purpose="demonstrations")
    return tuple(pool[index] for index in order[:count])


def draw(pool: Sequence[Example], count: int, row: Example, *, seed: int) -> tuple[Example, ...]:
    """Return ``count`` demonstrations for one row: a draw of its own, in which the row itself is never shown.

    The draw depends on the row's id and the seed only; fewer are always the beginning of more.
    """
    others, own_count = without(pool, [row])
    if count > len(others):
        itself = " besides the row itself" if own_count else ""
        raise UserError(
            f"{count} demonstrations asked for before row {row.id}, but there are {len(others)}{itself}; ask for fewer"
        )
    order = seeded_order(len(others), seed=seed, purpose=f"demonstrations of {row.id}")
    return tuple(others[index] for index in order[:count])


def with_shuffled_targets(shown: Sequence[Example], *, seed: int) -> tuple[Example, ...]:
    """Return demonstrations with each other's targets, so that each target is shown as often as before."""
    purpose = f"labels of {' '.join(row.id for row in shown)}"
    order = seeded_order(len(shown), seed=seed, purpose=purpose)
    return tuple(replace(row, target=shown[index].target) for row, index in zip(shown, order, strict=True))


def with_random_targets(shown: Sequence[Example], answers: Sequence[str], *, seed: int) -> tuple[Example, ...]:
    """Return demonstrations with targets drawn from the answer set, by the row's id and the seed alone."""
    draws = [random.Random(f"label of {row.id}/{seed}").random() for row in shown]
    return tuple(replace(row, target=answers[int(draw * len(answers))]) for row, draw in zip(shown, draws, strict=True))


def without(examples: Iterable[Example], demonstrations: Iterable[Example]) -> tuple[tuple[Example, ...], int]:
    """Return the examples that equal no demonstration, and how many were dropped.

    Two rows are equal when their ids are (an id names file and row) or when all their input fields are, normalised.
    """
    shown = tuple(demonstrations)
    ids, texts = {shot.id for shot in shown}, {text_of(shot) for shot in shown}
    rows = tuple(examples)
    kept = tuple(row for row in rows if row.id not in ids and text_of(row) not in texts)
    return kept, len(rows) - len(kept)
