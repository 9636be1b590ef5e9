"""Which rows are most alike: against scikit-learn, brute force, and rows that are equal."""

import random

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from spillover.prompts.similarity import LETTERS, letter_similarities, nearest
from spillover.records import Example

WORDS = ["good", "bad", "fine", "Sun", "rain", "über", "café", "明日", "天気", "blue", "red", "what", "who"]


def rows(count, *, seed, name="row"):
    draw = random.Random(seed)
    texts = [" ".join(draw.choice(WORDS) for _ in range(6)) for _ in range(count)]
    return [Example(f"{name}-{index}", {"text": text}, "up") for index, text in enumerate(texts)]


def test_letters_are_weighed_as_scikit_learn_does():
    pool, asked = rows(40, seed=0), rows(7, seed=1, name="asked")
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(LETTERS, LETTERS), sublinear_tf=True)
    own = vectorizer.fit_transform(row.fields["text"] for row in pool)
    other = vectorizer.transform(row.fields["text"] for row in asked)
    similarities = letter_similarities(pool)
    expected = (other @ own.T).toarray()
    assert np.allclose(similarities(asked), expected)
    found = nearest(asked, pool, similarities, count=5)
    for places, values in zip(found, expected, strict=True):
        assert np.allclose(values[list(places)], np.sort(values)[::-1][:5], atol=1e-5)


def test_a_row_of_its_own_id_or_text_is_never_shown():
    pool = [
        Example("a", {"text": "Good  SUN"}, "up"),
        Example("b", {"text": "good sun today"}, "up"),
        Example("c", {"text": "rain"}, "down"),
    ]
    asked = [Example("x", {"text": "good sun"}, "up"), Example("b", {"text": "sun"}, "up")]
    assert nearest(asked, pool, letter_similarities(pool), count=2) == [(1, 2), (0, 2)]


def test_ties_are_broken_by_text_and_not_by_place():
    pool = [Example(str(index), {"text": text}, "up") for index, text in enumerate(["zzz", "yyy", "xxx", "good"])]
    asked = [Example("q", {"text": "good sun"}, "up"), Example("p", {"text": "nothing alike"}, "up")]
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        shuffled = [pool[place] for place in order]
        found = nearest(asked, shuffled, letter_similarities(shuffled), count=3)
        texts = [[shuffled[place].fields["text"] for place in places] for places in found]
        assert texts == [["good", "xxx", "yyy"], ["good", "xxx", "yyy"]]


def test_similarities_that_differ_by_rounding_alone_are_ties():
    pool = [Example(name, {"text": name}, "up") for name in ("b", "a")]
    asked = [Example("q", {"text": "q"}, "up")]
    assert nearest(asked, pool, lambda _: np.array([[0.5 + 1e-9, 0.5]]), count=2) == [(1, 0)]
    assert nearest(asked, pool, lambda _: np.array([[0.5 + 1e-4, 0.5]]), count=2) == [(0, 1)]


def test_rows_beyond_one_block_find_what_they_find_alone():
    pool, asked = rows(30, seed=2), rows(150, seed=3, name="asked")
    alike = letter_similarities(pool)
    assert nearest(asked, pool, alike, count=3) == [nearest([row], pool, alike, count=3)[0] for row in asked]
