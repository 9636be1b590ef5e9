"""A classifier of weighted words: TF-IDF and logistic regression, kept as plain numbers that run no code when read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from spillover.errors import UserError
from spillover.records import FloatArray

FILE = "tfidf.json"
UNSEEN = -1e3
"""Logit of a label that no training row has: a share of nothing."""


def require_scikit_learn() -> None:
    """Refuse a TF-IDF classifier where scikit-learn is not installed.

    Raises:
        UserError: If so.
    """
    if find_spec("sklearn") is None:
        raise UserError("supervised kind 'tfidf' needs scikit-learn; run: pip install 'spillover[classifiers]'")


@dataclass(frozen=True, slots=True, eq=False)
class TfidfClassifier:
    """Words, the weight of each, and a linear layer over them."""

    terms: tuple[str, ...]
    longest: int
    """Words of the longest term."""
    weights: FloatArray
    """Inverse document frequencies, ``(terms,)``."""
    layer: FloatArray
    """``(labels, terms)``; zeros for a label that no training row has."""
    offsets: FloatArray
    """``(labels,)``"""

    @classmethod
    def fit(
        cls, texts: Sequence[tuple[str, ...]], golds: Sequence[int], label_count: int, *, longest: int, strength: float
    ) -> TfidfClassifier:
        """Return what scikit-learn fits.

        Args:
            texts: The input fields of each row.
            golds: The place of each row's label.
            label_count: Labels there are.
            longest: Words of the longest term.
            strength: Of the L2 penalty, the inverse of scikit-learn's ``C``.
        """
        from sklearn.linear_model import LogisticRegression

        vectorizer = _vectorizer(longest)
        features = vectorizer.fit_transform(map(_joined, texts))
        found = LogisticRegression(C=1 / strength, max_iter=2000).fit(features, golds)
        layer, offsets = np.zeros((label_count, features.shape[1])), np.full(label_count, UNSEEN)
        if len(found.classes_) == 2:  # one row says how much the second is ahead of the first
            layer[found.classes_[1]], offsets[found.classes_] = found.coef_[0], (0.0, found.intercept_[0])
        else:
            layer[found.classes_], offsets[found.classes_] = found.coef_, found.intercept_
        return cls(tuple(vectorizer.get_feature_names_out()), longest, np.asarray(vectorizer.idf_), layer, offsets)

    def logits(self, texts: Sequence[tuple[str, ...]]) -> FloatArray:
        """Return the logits ``(rows, labels)``."""
        vectorizer = _vectorizer(self.longest, {term: index for index, term in enumerate(self.terms)})
        vectorizer.idf_ = self.weights
        return np.asarray(vectorizer.transform(map(_joined, texts)) @ self.layer.T + self.offsets, dtype=np.float64)

    def save(self, folder: Path) -> None:
        """Write the numbers as JSON."""
        folder.mkdir(parents=True)
        content = {
            "terms": self.terms,
            "longest": self.longest,
            **{name: getattr(self, name).tolist() for name in ("weights", "layer", "offsets")},
        }
        (folder / FILE).write_text(json.dumps(content), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> TfidfClassifier:
        """Read what `save` wrote."""
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        arrays = {name: np.array(content[name]) for name in ("weights", "layer", "offsets")}
        return cls(tuple(content["terms"]), content["longest"], **arrays)


def _vectorizer(longest: int, vocabulary: dict[str, int] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, ngram_range=(1, longest), vocabulary=vocabulary)


def _joined(row: tuple[str, ...]) -> str:
    return "\n".join(row)
