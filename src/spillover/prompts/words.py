"""Divides text of any script into what is compared: words where spaces separate them, characters where none do.

Text is compared as Unicode's NFKC_Casefold leaves it (UAX #31, section 5.3): composed and decomposed accents, full and
half width, presentation forms, case, soft hyphens, joiners and variation selectors make no difference. Decimal digits
of every script are 0-9. Accents, vowel signs and the points of Arabic and Hebrew do make one.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

import regex

_OWN = (
    r"(?=[\p{L}\p{N}])[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Bopomofo}\p{Yi}\p{Line_Break=Complex_Context}]"
)
"""A character of a script that is written without spaces. Line breaking in complex context is that of Thai, Lao, Khmer,
Myanmar and their relatives (UAX #14, class SA). Korean has spaces."""
UNSEPARATED = regex.compile(rf"{_OWN}\p{{M}}*")
_WORD = regex.compile(r"(?:[\p{L}\p{N}]\p{M}*)+")
_IGNORED = regex.compile(r"\p{Default_Ignorable_Code_Point}")
_DIGIT = re.compile(r"[^\D0-9]")
_LETTER, _LATIN, _HAN = regex.compile(r"\p{L}"), regex.compile(r"\p{Latin}"), regex.compile(r"\p{Han}")
_KANA_SHARE = 0.1
"""Of characters without spaces; Japanese has more than Han characters alone, Chinese quotes a few others."""

Writing = Literal["spaced", "Chinese", "unspaced"]
"""How words are divided: by spaces, or not at all in Chinese or in another script."""


def folded(text: str) -> str:
    """Return the text as it is compared: NFKC, casefolded, without what is not seen, digits as 0-9."""
    if text.isascii():
        return text.lower()
    composed = unicodedata.normalize("NFKC", _IGNORED.sub("", text)).casefold()
    return with_plain_digits(unicodedata.normalize("NFKC", composed))


def with_plain_digits(text: str) -> str:
    """Return the text with the decimal digits of every script as 0-9."""
    return _DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), text)


def spaced(text: str) -> str:
    """Return the text with every character of a script without spaces standing alone."""
    return text if text.isascii() else str(UNSEPARATED.sub(r" \g<0> ", text))


def words(text: str) -> list[str]:
    """Return runs of letters, digits and their marks, and characters where spaces separate no words.

    On ASCII these are the words of rouge-score: lower case, and nothing but letters and digits.
    """
    return list(_WORD.findall(spaced(folded(text))))


def writing(texts: Iterable[str]) -> Writing:
    """Return how most of what `words` finds in the texts is divided."""
    found = [word for text in texts for word in words(text)]
    alone = [word for word in found if UNSEPARATED.fullmatch(word)]
    if not alone or 2 * len(alone) < len(found):
        return "spaced"
    others = sum(not _HAN.match(word) for word in alone)
    return "Chinese" if others < _KANA_SHARE * len(alone) else "unspaced"


def is_latin(texts: Iterable[str]) -> bool:
    """Whether at least half of the letters are Latin ones."""
    counts = [(len(_LATIN.findall(text)), len(_LETTER.findall(text))) for text in texts]
    return 2 * sum(latin for latin, _ in counts) >= sum(letters for _, letters in counts)
