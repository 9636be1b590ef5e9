"""How alike two texts are by the letters they are made of, and the rows of a pool that are most alike a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from spillover.prompts.demonstrations import text_of
from spillover.records import Example, FloatArray

if TYPE_CHECKING:
    from scipy import sparse

LETTERS = 3
"""Of a piece of text: three tell words and their beginnings in every script, where words need spaces."""
ROWS_AT_ONCE = 64
"""Rows whose similarities to a whole pool are held at once."""
DECIMALS = 5
"""Of a similarity; what differs by less is a tie, as it may be rounding."""
Similarities = Callable[[Sequence[Example]], FloatArray]
"""Rows to how alike each is to every row of a pool, ``(rows, pool)``, 1 where they are the same."""


def letter_similarities(pool: Sequence[Example]) -> Similarities:
    """Return the cosine of TF-IDF over pieces of `LETTERS` characters of normalised text, as scikit-learn weighs it.

    A piece counts ``1 + log(count)`` times ``1 + log((1 + n) / (1 + rows with it))``, of the ``n`` rows of the pool.
    """
    from scipy import sparse

    found = [_pieces(row) for row in pool]
    row_counts = Counter(piece for pieces in found for piece in pieces)
    places = {piece: index for index, piece in enumerate(sorted(row_counts))}
    weights = 1 + np.log((1 + len(pool)) / (1 + np.array([row_counts[piece] for piece in places], dtype=np.float64)))

    def vectors(rows: Sequence[Example]) -> sparse.csr_matrix:
        counted = [
            (index, places[piece], count)
            for index, row in enumerate(rows)
            for piece, count in _pieces(row).items()
            if piece in places
        ]
        at, pieces, counts = np.array(counted, dtype=np.int64).reshape(-1, 3).T
        values = (1 + np.log(counts)) * weights[pieces]
        made = sparse.csr_matrix((values, (at, pieces)), shape=(len(rows), max(1, len(places))))
        lengths = np.sqrt(np.asarray(made.multiply(made).sum(axis=1)).ravel())
        return sparse.csr_matrix(sparse.diags(1 / np.maximum(lengths, 1e-300)) @ made)

    of_pool = vectors(pool)
    return lambda rows: np.asarray((vectors(rows) @ of_pool.T).toarray(), dtype=np.float64)


def _pieces(row: Example) -> Counter[str]:
    text = "\n".join(text_of(row))
    return Counter(text[at : at + LETTERS] for at in range(max(1, len(text) - LETTERS + 1)))


def nearest(
    rows: Sequence[Example], pool: Sequence[Example], similarities: Similarities, *, count: int
) -> list[tuple[int, ...]]:
    """Return the places in the pool of the rows most like each row, the most alike first.

    A row of its own id or its own text is none of them. Of equally alike ones the first in the order of texts comes
    first, so that neither the order of files nor of the pool decides.
    """
    texts = [text_of(row) for row in pool]
    content = sorted(range(len(pool)), key=lambda index: (texts[index], pool[index].id))
    rank = np.empty(len(pool), dtype=np.int64)
    rank[content] = np.arange(len(pool))
    found = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        together = rows[start : start + ROWS_AT_ONCE]
        for row, values in zip(together, np.round(similarities(together), DECIMALS), strict=True):
            own = text_of(row)
            order = np.lexsort((rank, -values))
            kept = (int(place) for place in order if pool[place].id != row.id and texts[place] != own)
            found.append(tuple(place for place, _ in zip(kept, range(count), strict=False)))
    return found
