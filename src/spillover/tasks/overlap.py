"""Finds rows whose input texts are equal or nearly so, across parts and tasks: exactly, and by MinHash."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.prompts.demonstrations import text_of
from spillover.records import Example

SHINGLE = 5
"""Characters; a text is compared as the set of all its runs of so many."""
NEAR = 0.8
"""Jaccard similarity of two such sets, shared over all, from which texts count as nearly equal."""
BANDS, BAND = 16, 4
"""Bands of a MinHash, and minima in a band. A pair of similarity J agrees in a band with the chance J**4, in at least
one with 1 - (1 - J**4)**16: 0.9998 at 0.8. Every pair that does is then measured exactly, so none is reported falsely
(Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4)."""

_Hashes = NDArray[np.uint64]
_draws = np.random.default_rng(0).integers(0, 2**63, size=(2, BANDS * BAND), dtype=np.uint64)
_FACTORS, _SUMMANDS = _draws[0] * 2 + 1, _draws[1]
_PLACES = np.random.default_rng(1).integers(0, 2**63, size=SHINGLE, dtype=np.uint64) * 2 + 1


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows of equal or nearly equal text, by their positions."""

    row: int
    other: int
    similarity: float
    """Jaccard, 0..1; 1 for equal texts."""


def equal_rows(rows: Sequence[Example], others: Sequence[Example]) -> list[Pair]:
    """Pair each row whose normalised input fields are those of another one with the first such."""
    first: dict[tuple[str, ...], int] = {}
    for index, other in enumerate(others):
        first.setdefault(text_of(other), index)
    texts = [text_of(row) for row in rows]
    return [Pair(index, first[text], 1.0) for index, text in enumerate(texts) if text in first]


def near_rows(rows: Sequence[Example], others: Sequence[Example]) -> list[Pair]:
    """Pair each row that is nearly equal to another one, and equal to none, with the most similar such."""
    equal = {pair.row for pair in equal_rows(rows, others)}
    known = [_shingles(other) for other in others]
    buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for index, hashes in enumerate(known):
        for band in _bands(hashes):
            buckets[band].append(index)
    pairs = []
    for index, row in enumerate(rows):
        hashes = _shingles(row)
        candidates = {other for band in _bands(hashes) for other in buckets.get(band, ())}
        if index in equal or not candidates:
            continue
        similarity, other = max((_similarity(hashes, known[other]), -other) for other in candidates)
        if similarity >= NEAR:
            pairs.append(Pair(index, -other, similarity))
    return pairs


def _shingles(row: Example) -> _Hashes:
    """Return the distinct hashes of a row's shingles, ``(n,)``; a text shorter than a shingle is one by itself."""
    text = "\n".join(text_of(row)).ljust(SHINGLE)
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    count = len(codes) - SHINGLE + 1
    hashes: _Hashes = codes[:count] * _PLACES[0]
    for place in range(1, SHINGLE):
        hashes += codes[place : place + count] * _PLACES[place]  # wraps around 2**64
    hashes ^= hashes >> np.uint64(31)
    hashes.sort()  # of some hundred numbers quicker than numpy's table of the distinct ones
    first = np.append(True, hashes[1:] != hashes[:-1])
    distinct: _Hashes = hashes[first]
    return distinct


def _bands(hashes: _Hashes) -> list[tuple[int, bytes]]:
    """Return the bands of a text's MinHash: minima under random multiply-add maps, of which the upper half is kept."""
    mapped = (hashes[:, None] * _FACTORS + _SUMMANDS) >> np.uint64(32)
    minima = mapped.min(axis=0).reshape(BANDS, BAND)
    return [(index, band.tobytes()) for index, band in enumerate(minima)]


def _similarity(left: _Hashes, right: _Hashes) -> float:
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / (len(left) + len(right) - shared)
