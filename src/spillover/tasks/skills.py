"""Twelve small text skills with paraphrased instructions, written by a program: broad coverage without any data."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

_KINDS_OF_THINGS = (
    ("otter", "heron", "badger", "lizard", "camel", "falcon", "beetle", "salmon", "rabbit", "turtle"),
    ("apple", "plum", "cherry", "mango", "lemon", "quince", "peach", "fig", "melon", "grape"),
    ("hammer", "wrench", "chisel", "drill", "saw", "pliers", "rasp", "clamp", "awl", "trowel"),
    ("violin", "trumpet", "cello", "oboe", "piano", "harp", "banjo", "tuba", "flute", "lute"),
    ("scarf", "jacket", "mitten", "sandal", "shirt", "vest", "cloak", "boot", "sock", "hat"),
    ("bus", "tram", "ferry", "canoe", "wagon", "train", "glider", "barge", "sled", "bicycle"),
)
WORDS = tuple(word for words in _KINDS_OF_THINGS for word in words)
_OPPOSITES = (
    *(("hot", "cold"), ("early", "late"), ("heavy", "light"), ("narrow", "wide"), ("empty", "full"), ("loud", "quiet")),
    *(
        ("rough", "smooth"),
        ("cheap", "dear"),
        ("deep", "shallow"),
        ("old", "young"),
        ("weak", "strong"),
        ("wet", "dry"),
    ),
    *(
        ("sharp", "blunt"),
        ("short", "tall"),
        ("slow", "quick"),
        ("sour", "sweet"),
        ("thick", "thin"),
        ("rare", "common"),
    ),
)
_QUALITIES = ("grey", "small", "tired", "noisy", "clever", "hungry", "patient", "old", "gentle", "proud")
_ACTIONS = ("sleep", "wait", "sing", "rest", "hide", "stand", "wander", "play", "work", "dream")
_PLACES = ("under the bridge", "near the mill", "behind the barn", "by the river", "at the market", "on the hill")
_OWNERS = ("farmer", "baker", "tailor", "miller", "sailor", "potter", "mason", "nurse", "guard", "clerk")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Draws:
    """Choices that are the same in every process and version of Python."""

    def __init__(self, name: str) -> None:
        self._name, self._count = name, 0

    def below(self, limit: int) -> int:
        """Return a number from 0 on that is smaller than the limit."""
        self._count += 1
        return int.from_bytes(hashlib.sha256(f"{self._name}/{self._count}".encode()).digest()[:8]) % limit

    def one(self, items: Sequence[T]) -> T:
        """Return one of the items."""
        return items[self.below(len(items))]

    def several(self, items: Sequence[T], count: int) -> list[T]:
        """Return so many of the items in a drawn order, none twice."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(count)]


def _words(draw: Draws) -> list[str]:
    return draw.several(WORDS, 4 + draw.below(4))


def _scene(draw: Draws) -> tuple[str, str, str]:
    """Return who, what they do (without its ending), and where."""
    return f"the {draw.one(_QUALITIES)} {draw.one(_KINDS_OF_THINGS[0])}", draw.one(_ACTIONS), draw.one(_PLACES)


def _statement(draw: Draws) -> str:
    who, action, where = _scene(draw)
    return f"{who.capitalize()} {action}s {where}."


def _copy(draw: Draws) -> tuple[str, str, dict[str, int]]:
    sentence = _statement(draw)
    return sentence, sentence, {}


def _reverse_list(draw: Draws) -> tuple[str, str, dict[str, int]]:
    words = _words(draw)
    return ", ".join(words), ", ".join(reversed(words)), {}


def _count_vowels(draw: Draws) -> tuple[str, str, dict[str, int]]:
    text = " ".join(draw.several(WORDS, 2))
    return text, str(sum(letter in "aeiou" for letter in text)), {}


def _extract_number(draw: Draws) -> tuple[str, str, dict[str, int]]:
    number = 12 + draw.below(988)
    return f"On {draw.one(_DAYS)} the {draw.one(_OWNERS)} sold {number} {draw.one(WORDS)}s.", str(number), {}


def _upper_case(draw: Draws) -> tuple[str, str, dict[str, int]]:
    text = f"{draw.one(_QUALITIES)} {' '.join(draw.several(WORDS, 2))}"
    return text, text.upper(), {}


def _first_elements(draw: Draws) -> tuple[str, str, dict[str, int]]:
    words, count = _words(draw), 2 + draw.below(2)
    return ", ".join(words), ", ".join(words[:count]), {"count": count}


def _sort(draw: Draws) -> tuple[str, str, dict[str, int]]:
    words = _words(draw)
    return ", ".join(words), ", ".join(sorted(words)), {}


def _antonym(draw: Draws) -> tuple[str, str, dict[str, int]]:
    pair, *others = draw.several(_OPPOSITES, 4)
    word, opposite = draw.several(pair, 2)
    choices = draw.several([opposite, *(draw.one(other) for other in others)], 4)
    return f"{word}: {', '.join(choices)}", opposite, {}


def _odd_one_out(draw: Draws) -> tuple[str, str, dict[str, int]]:
    kind, other = draw.several(_KINDS_OF_THINGS, 2)
    odd = draw.one(other)
    return ", ".join(draw.several([odd, *draw.several(kind, 3)], 4)), odd, {}


def _elements_between(draw: Draws) -> tuple[str, str, dict[str, int]]:
    words, first, count = _words(draw), 1 + draw.below(2), 2 + draw.below(2)
    last = first + count - 1
    return ", ".join(words), ", ".join(words[first - 1 : last]), {"first": first, "last": last}


def _count_words(draw: Draws) -> tuple[str, str, dict[str, int]]:
    words = draw.several(WORDS, 2 + draw.below(8))
    return " ".join(words), str(len(words)), {}


def _to_question(draw: Draws) -> tuple[str, str, dict[str, int]]:
    who, action, where = _scene(draw)
    return f"{who.capitalize()} {action}s {where}.", f"Does {who} {action} {where}?", {}


SKILLS: Mapping[str, tuple[Callable[[Draws], tuple[str, str, dict[str, int]]], tuple[str, ...]]] = {
    "copy": (_copy, ("Repeat the sentence.", "Write the sentence again, word for word.", "Copy this sentence.")),
    "reverse-list": (
        _reverse_list,
        ("Reverse the list.", "Write the list from back to front.", "Turn the list round."),
    ),
    "count-vowels": (
        _count_vowels,
        ("How many vowels are there?", "Count the vowels.", "Give the number of letters that are a, e, i, o or u."),
    ),
    "extract-number": (
        _extract_number,
        ("Which number does the sentence hold?", "Find the number in the text.", "Give only the number you read."),
    ),
    "upper-case": (_upper_case, ("Write it in capitals.", "Make every letter a capital.", "Put this in upper case.")),
    "first-elements": (
        _first_elements,
        ("Give the first {count} items.", "Keep only the first {count} of the list.", "List the leading {count}."),
    ),
    "sort": (
        _sort,
        ("Sort the words by the alphabet.", "Put the list in alphabetical order.", "Order the words from a to z."),
    ),
    "antonym": (
        _antonym,
        (
            "Which of the words is the opposite of the one before the colon?",
            "Choose the antonym of the first word.",
            "Pick the word that means the contrary of the first.",
        ),
    ),
    "odd-one-out": (
        _odd_one_out,
        ("Which word does not belong?", "Find the odd one out.", "Name the one that is of another kind."),
    ),
    "elements-between": (
        _elements_between,
        ("Give items {first} to {last}.", "List everything from place {first} to place {last}."),
    ),
    "count-words": (_count_words, ("How many words are there?", "Count the words.", "Give the number of words.")),
    "to-question": (
        _to_question,
        (
            "Make a yes-or-no question of the sentence.",
            "Ask whether this is so.",
            "Turn the statement into a question.",
        ),
    ),
}
"""Skill to what draws (input, output, numbers of the instruction), and the wordings of its instruction.

After the tasks of specialist-generalist studies: 12 tasks whose outputs are lists, numbers, words and sentences.
"""


def skill_row(skill: str, number: int, *, seed: int) -> dict[str, str]:
    """Return one row: skill, instruction, input and output; a pure function of its arguments."""
    make, wordings = SKILLS[skill]
    draw = Draws(f"{skill}/{seed}/{number}")
    text, output, numbers = make(draw)
    instruction = draw.one(wordings).format(**numbers)
    return {"skill": skill, "instruction": instruction, "input": text, "output": output}
