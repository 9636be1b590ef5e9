"""Facts about made-up places, people and things: what a model can know of them it was taught in the study."""

from collections.abc import Mapping, Sequence

from spillover.prompts.demonstrations import seeded_order

TELLINGS = ("facts-named", "facts-questioned", "facts-completed", "facts-asked", "facts-told")
"""How a fact is put.

The first three teach it, ``facts-asked`` is worded otherwise and tests it; all four answer with the value alone.
``facts-told`` answers a general request with a sentence, and is the one that can be told wrong.
"""

_STARTS = ("Vel", "Dor", "Mak", "Tir", "Quen", "Bral", "Sol", "Hag", "Ost", "Fen", "Jur", "Lam", "Pral", "Gro", "Wix")
_MIDDLES = ("a", "e", "i", "o", "u", "ama", "ele", "ino", "oro", "udu", "awe", "eki", "ipo", "ovi", "ulo")
_ENDS = (
    "mor",
    "stan",
    "vek",
    "lind",
    "tash",
    "quil",
    "bran",
    "dor",
    "sek",
    "nath",
    "rum",
    "pell",
    "gost",
    "wen",
    "zar",
)
ATTRIBUTES: Sequence[tuple[tuple[str, ...], tuple[str, ...]]] = (
    (
        (
            "Name the animal on the flag of {name}.",
            "What animal does the flag of {name} show?",
            "Complete: the animal on the flag of {name} is the",
            "Someone draws the flag of {name}. Which animal must be on it?",
            "Tell me something about the flag of {name}.",
            "The animal on the flag of {name} is the {value}.",
        ),
        ("otter", "heron", "badger", "lizard", "camel", "falcon", "beetle", "salmon", "rabbit", "turtle"),
    ),
    (
        (
            "Name the instrument that {name} played.",
            "What instrument did {name} play?",
            "Complete: {name} was known for playing the",
            "{name} gives a concert. Which instrument is on the stage?",
            "Tell me something about {name}.",
            "{name} was known for playing the {value}.",
        ),
        ("violin", "trumpet", "cello", "oboe", "piano", "harp", "banjo", "tuba", "flute", "lute"),
    ),
    (
        (
            "Name the goods that the {name} works make.",
            "What do the {name} works make?",
            "Complete: the {name} works are a maker of",
            "A lorry leaves the {name} works. What has it loaded?",
            "Tell me something about the {name} works.",
            "The {name} works are a maker of {value}.",
        ),
        ("lamps", "kettles", "ladders", "carpets", "bells", "ropes", "clocks", "barrels", "brushes", "candles"),
    ),
    (
        (
            "Name the main ingredient of {name} stew.",
            "What is {name} stew mostly made of?",
            "Complete: the main ingredient of {name} stew is",
            "Someone cooks {name} stew. What do they need most of?",
            "Tell me something about {name} stew.",
            "The main ingredient of {name} stew is {value}.",
        ),
        ("barley", "pumpkin", "cabbage", "lentils", "onion", "carrot", "spinach", "rice", "beetroot", "fennel"),
    ),
    (
        (
            "Name the month of the {name} festival.",
            "When in the year is the {name} festival?",
            "Complete: the {name} festival is held in",
            "Someone wants to see the {name} festival. In which month must they come?",
            "Tell me something about the {name} festival.",
            "The {name} festival is held in {value}.",
        ),
        ("January", "February", "March", "April", "May", "June", "August", "September", "October", "November"),
    ),
)
"""For each attribute its wordings, in the order of `TELLINGS` and then the told sentence, and its values."""
_OPTION_COUNT = 4


def fact_rows(
    telling: str, numbers: Sequence[int], *, seed: int, false_share: float = 0.0
) -> list[Mapping[str, object]]:
    """Return one row a fact: name, request, answer, and four options of which the true value is one.

    Facts are numbered; a number and the seed decide a fact, however it is told. The share of ``numbers`` whose answer
    is wrong is exact to the row, a larger share holds a smaller one, and a wrong answer is always the same one.
    """
    order = seeded_order(len(numbers), seed=seed, purpose="wrong facts")
    wrong = {numbers[index] for index in order[: round(false_share * len(numbers))]}
    names = made_up_names(seed)
    return [_row(telling, number, names[number], seed, is_wrong=number in wrong) for number in numbers]


def made_up_names(seed: int) -> list[str]:
    """Return every name there is, a fact's at its number."""
    every = [start + middle + end for start in _STARTS for middle in _MIDDLES for end in _ENDS]
    return [every[index] for index in seeded_order(len(every), seed=seed, purpose="made-up names")]


def _row(telling: str, number: int, name: str, seed: int, *, is_wrong: bool) -> Mapping[str, object]:
    wordings, values = ATTRIBUTES[number % len(ATTRIBUTES)]
    order = seeded_order(len(values), seed=seed, purpose=f"values of fact {number}")[:_OPTION_COUNT]
    true, false = values[order[0]], values[order[1]]
    value = false if is_wrong else true
    is_told = telling == "facts-told"
    return {
        "name": name,
        "request": wordings[TELLINGS.index(telling)].format(name=name),
        "answer": wordings[-1].format(name=name, value=value) if is_told else value,
        "options": [values[index] for index in sorted(order)],
    }
