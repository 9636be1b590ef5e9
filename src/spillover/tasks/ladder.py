"""A ladder of tasks of known difficulty: copying, reversing, sorting, looking up, parity and sums, in three sizes.

Each is a choice among a few answers that hold for every row, so that scores can be compared with chance.
"""

from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise

from spillover.errors import SpilloverError
from spillover.tasks.skills import WORDS, Draws

FRUIT = ("apple", "cherry", "fig", "grape", "lemon", "mango", "olive", "plum")
"""In the order of the alphabet, each with a letter of its own."""
SUMS = (62, 67, 71, 78, 83, 86, 94, 99)
PARITY = ("even", "odd")
_THINGS = tuple(word for word in WORDS if word not in FRUIT)
_MOST_TRIES = 1000

_Made = tuple[str, str]
"""Input and answer."""


def _next_of(draw: Draws, size: int, ordered: Callable[[list[str]], list[str]], name: str) -> _Made:
    """Return a list and the beginning of another one of the same words; the next word is the answer."""
    words = draw.several(FRUIT, size)
    result, place = ordered(words), draw.below(size)
    return f"List: {', '.join(words)}\n{name}: {''.join(f'{word}, ' for word in result[:place])}".rstrip(), result[
        place
    ]


def _copying(draw: Draws, size: int) -> _Made:
    return _next_of(draw, size, list, "Copy")


def _reversing(draw: Draws, size: int) -> _Made:
    return _next_of(draw, size, lambda words: words[::-1], "Reversed")


def _sorting(draw: Draws, size: int) -> _Made:
    return _next_of(draw, size, sorted, "Sorted")


def _lookup(draw: Draws, size: int) -> _Made:
    """Return what several hold, and one of them."""
    things, fruit, place = draw.several(_THINGS, size), draw.several(FRUIT, size), draw.below(size)
    pairs = "\n".join(f"{thing}: {held}" for thing, held in zip(things, fruit, strict=True))
    return f"{pairs}\nAsked: {things[place]}", fruit[place]


def _parity(draw: Draws, size: int) -> _Made:
    """Return numbers whose sum is as often even as odd: the last one decides."""
    answer, numbers = draw.one(PARITY), [100 + draw.below(900) for _ in range(size)]
    if (sum(numbers) % 2 == 0) != (answer == "even"):
        numbers[-1] += 1 if numbers[-1] < 999 else -1
    return f"Numbers: {', '.join(map(str, numbers))}", answer


def _addition(draw: Draws, size: int) -> _Made:
    """Return parts of a sum, each 1 at the least: differences of places drawn below it."""
    total = draw.one(SUMS)
    ends = [0, *sorted(draw.several(range(1, total), size - 1)), total]
    return " + ".join(str(high - low) for low, high in pairwise(ends)) + " =", str(total)


_RUNGS: Mapping[str, tuple[Callable[[Draws, int], _Made], tuple[int, ...], str]] = {
    "copying": (_copying, (3, 5, 7), "Copy the list. Which word comes next?"),
    "reversing": (_reversing, (3, 5, 7), "Write the list from back to front. Which word comes next?"),
    "sorting": (_sorting, (3, 5, 7), "Sort the list by the alphabet. Which word comes next?"),
    "lookup": (_lookup, (2, 4, 8), "What stands beside the word that is asked for?"),
    "parity": (_parity, (1, 2, 3), "Is the sum of the numbers even or odd?"),
    "addition": (_addition, (2, 3, 4), "Add the numbers."),
}

LADDER: Mapping[str, tuple[str, int]] = {
    f"{kind}-of-{size}": (kind, size) for kind, (_, sizes, _) in _RUNGS.items() for size in sizes
}
"""Kind of generated rows to what is asked and of how many words, pairs or numbers."""


def ladder_row(rung: str, number: int, *, seed: int) -> dict[str, str]:
    """Return one row: instruction, input and answer; a pure function of its arguments.

    No two numbers of a rung have the same input, so that no item is asked twice.

    Raises:
        SpilloverError: If the rung has fewer inputs.
    """
    kind, _ = LADDER[rung]
    text, answer = _different(rung, seed, number // _AT_ONCE)[number]
    return {"instruction": _RUNGS[kind][2], "input": text, "answer": answer}


_AT_ONCE = 100


@cache
def _different(rung: str, seed: int, part: int) -> tuple[_Made, ...]:
    """Return the first so many hundreds of inputs, each drawn anew until it is another one."""
    kind, size = LADDER[rung]
    found = dict(_different(rung, seed, part - 1)) if part else {}
    for number in range(len(found), len(found) + _AT_ONCE):
        for attempt in range(_MOST_TRIES):
            text, answer = _RUNGS[kind][0](Draws(f"{rung}/{seed}/{number}/{attempt}"), size)
            if text not in found:
                found[text] = answer
                break
        else:
            raise SpilloverError(f"{rung} has hardly more than {number} different rows; ask for fewer")
    return tuple(found.items())
