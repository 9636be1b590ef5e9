"""Metrics of generated text beyond its wording: the number it ends with, and the words it shares with the target."""

import math
import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
import regex

from spillover.evaluation.choice import Scoring, chosen_answer
from spillover.prompts.words import UNSEPARATED, folded, spaced, with_plain_digits
from spillover.records import FloatArray, Prediction

TOLERANCE = 1e-2
"""Of an executed answer, relative to the target (cocktail sheet, section 4)."""

_FINAL = "####"
_NUMBER = regex.compile(
    rf"""
    (?:(?<!(?!{UNSEPARATED.pattern})[\w)%.]) (?P<minus>[-\u2212]) \s?)?  # not the minus of a difference, as in 7-3
    \p{{Sc}}? \s? (?P<inner>(?<=\p{{Sc}})[-\u2212])?
    (?P<digits>(?:\d{{1,3}}(?:,\d{{3}})+(?!\d)|\d+)(?:\.\d+)?|(?<!\d)\.\d+)
    (?P<exponent>[eE][-+]?\d+)?
    """,
    regex.VERBOSE,
)
_NARROW = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {0x066B: ".", 0x066C: ","}
"""Full-width signs, and the decimal and thousands separators of Arabic, as ASCII has them. NFKC would do more: 5 square
metres, written with a raised 2, would end with the number 2."""
_PUNCTUATION = regex.compile(rf"[\p{{P}}{re.escape(string.punctuation)}]")


def final_number(text: str) -> float | None:
    """Return the number a text ends with: the first one after the last ``####``, else the last one of all.

    Currency and percent signs and thousands separators do not count: 12.5 % is 12.5. Digits may be of any script;
    numbers in words, such as the Chinese ones, are none. None where there is no number.
    """
    text = text if text.isascii() else with_plain_digits(text.translate(_NARROW))
    _, mark, final = text.rpartition(_FINAL)
    found = list(_NUMBER.finditer(final))
    if not found and mark:
        found = list(_NUMBER.finditer(text))
        mark = ""
    if not found:
        return None
    match = found[0 if mark else -1]
    value = float(match["digits"].replace(",", "") + (match["exponent"] or ""))
    return -value if match["minus"] or match["inner"] else value


def numeric_matches(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return whether the final number is the target's, to within the tolerance, and one.

    A target without a number, as yes or no, must be answered in its own words. What holds no number is wrong.
    """
    return _with_one([_is_match(prediction.target, chosen_answer(prediction, scoring)) for prediction in predictions])


def unparsed(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return whether a number is asked for and the answer holds none, and one."""
    return _with_one(
        [
            final_number(prediction.target) is not None and final_number(chosen_answer(prediction, scoring)) is None
            for prediction in predictions
        ]
    )


def token_f1(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return F1 of `plain_words`, and one (Rajpurkar et al. 2016, section 6.1)."""
    return _with_one([_word_f1(prediction.target, chosen_answer(prediction, scoring)) for prediction in predictions])


def _is_match(target: str, answer: str) -> bool:
    wanted, given = final_number(target), final_number(answer)
    if wanted is None:
        return plain_words(target) == plain_words(answer)
    return given is not None and math.isclose(given, wanted, rel_tol=0, abs_tol=TOLERANCE * abs(wanted))


def plain_words(text: str) -> list[str]:
    """Return the words without case, punctuation and English articles; characters where spaces separate no words.

    As SQuAD's evaluation on ASCII text; elsewhere punctuation and characters are those of MLQA's (Lewis et al. 2020).
    """
    without_marks = spaced(_PUNCTUATION.sub("", folded(text)))
    return [word for word in without_marks.split() if word not in ("a", "an", "the")]


def _word_f1(target: str, answer: str) -> float:
    wanted, given = Counter(plain_words(target)), Counter(plain_words(answer))
    if not wanted or not given:
        return float(wanted == given)
    return 2 * (wanted & given).total() / (wanted.total() + given.total())


def _with_one(values: Sequence[float]) -> FloatArray:
    return np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))], axis=1)
