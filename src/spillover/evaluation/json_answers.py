"""Answers asked for as JSON, ``{"answer": ...}``, read leniently: text in, answers out, none where it holds none."""

from __future__ import annotations

import json
from collections.abc import Mapping

from spillover.prompts.demonstrations import normalised

ABSTENTION = "?"
"""The answer to a question that its text does not answer (sheet supercontext, 2.2)."""
KEY = "answer"
_DEEPEST = 32
"""Mappings and lists within one another; more is no answer, and would take Python's stack."""
_QUOTES = "\"'"

_Value = str | None | list["_Value"] | Mapping[str, "_Value"]


class _UnreadableError(Exception):
    """The text is no mapping, however leniently it is read."""


def answers_in(text: str) -> tuple[str, ...]:
    """Return what the first mapping in a text gives as its answer: one text, or those of a list; nothing if none.

    The mapping goes from the first ``{`` to the brace that matches it; braces in quotes do not count, and what follows
    is not read. Beyond JSON, keys and values may stand in single quotes or in none, quotes may occur within a text,
    and a comma may come last. A mapping without an answer, an empty answer and ``null`` give nothing.
    """
    start = text.find("{")
    if start < 0:
        return ()
    try:
        found = _Reader(text, start).mapping(0)
    except _UnreadableError:
        return ()
    given = [value for key, value in found.items() if normalised(key) == KEY]
    return _texts(given[-1]) if given else ()


def is_right(answers: tuple[str, ...], gold: tuple[str, ...]) -> bool:
    """Whether there are answers and each is a right one, apart from case and white space (sheet supercontext, 4).

    Of several answers every one counts, so that listing whatever the text holds is not right.
    """
    right = set(map(normalised, gold))
    return bool(answers) and all(normalised(answer) in right for answer in answers)


def abstains(answers: tuple[str, ...]) -> bool:
    """Whether there are answers, and none but `ABSTENTION`."""
    return is_right(answers, (ABSTENTION,))


def _texts(value: _Value) -> tuple[str, ...]:
    entries = value if isinstance(value, list) else [value]
    texts = [entry.strip() for entry in entries if isinstance(entry, str)]
    return tuple(texts) if len(texts) == len(entries) and all(texts) else ()


class _Reader:
    """Reads one value after the other from a place in a text on."""

    def __init__(self, text: str, place: int) -> None:
        self._text, self._place = text, place

    def mapping(self, depth: int) -> dict[str, _Value]:
        """Read a mapping; the next character is its brace."""
        self._place += 1
        found: dict[str, _Value] = {}
        while self._next() != "}":
            key = self._quoted() if self._next() in _QUOTES else self._bare(":,{}[]\n")
            self._expect(":")
            found[key] = self._value(depth)
            if self._next() != "}":
                self._expect(",")
        self._place += 1
        return found

    def _list(self, depth: int) -> list[_Value]:
        self._place += 1
        found: list[_Value] = []
        while self._next() != "]":
            found.append(self._value(depth))
            if self._next() != "]":
                self._expect(",")
        self._place += 1
        return found

    def _value(self, depth: int) -> _Value:
        sign = self._next()
        if depth == _DEEPEST:
            raise _UnreadableError
        if sign == "{":
            return self.mapping(depth + 1)
        if sign == "[":
            return self._list(depth + 1)
        if sign in _QUOTES:
            return self._quoted()
        word = self._bare(",{}[]\n")
        return None if word in ("null", "None") else word

    def _next(self) -> str:
        """Return the next character that is no white space, and go there."""
        while self._place < len(self._text) and self._text[self._place].isspace():
            self._place += 1
        if self._place == len(self._text):
            raise _UnreadableError
        return self._text[self._place]

    def _expect(self, sign: str) -> None:
        if self._next() != sign:
            raise _UnreadableError
        self._place += 1

    def _bare(self, ends: str) -> str:
        start = self._place
        while self._place < len(self._text) and self._text[self._place] not in ends:
            self._place += 1
        if not (word := self._text[start : self._place].strip()):
            raise _UnreadableError
        return word

    def _quoted(self) -> str:
        """Read a text in quotes; a quote ends it where a comma, colon, brace or bracket follows."""
        quote, parts = self._text[self._place], []
        self._place += 1
        while not self._closes(quote):
            length = 2 if self._text[self._place] == "\\" else 1
            parts.append(self._text[self._place : self._place + length])
            self._place += length
        self._place += 1
        return _unescaped(parts)

    def _closes(self, quote: str) -> bool:
        if self._place >= len(self._text):
            raise _UnreadableError
        following = self._text[self._place + 1 :].lstrip()[:1]
        return self._text[self._place] == quote and following in ("", ",", ":", "}", "]")


def _unescaped(parts: list[str]) -> str:
    """Return a text of characters and escapes; an escape that JSON does not know stays as it is written."""
    quoted = "".join({'"': '\\"', "\\'": "'"}.get(part, part) for part in parts)
    try:
        text = str(json.loads(f'"{quoted}"', strict=False))
    except ValueError:
        text = "".join(parts)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # half a pair cannot be stored
