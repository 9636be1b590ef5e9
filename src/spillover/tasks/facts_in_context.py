"""Questions about a short text of made-up facts that answers half of them: closed context, no knowledge needed."""

import json
from collections.abc import Mapping, Sequence

from spillover.tasks.facts import ATTRIBUTES, TELLINGS, made_up_names
from spillover.tasks.skills import Draws

IN_CONTEXT = "facts-in-context"
"""Its kind of generated rows."""
UNANSWERED = "?"
"""What is right where the text does not say."""
_QUESTION = TELLINGS.index("facts-questioned")


def context_rows(numbers: Sequence[int], *, seed: int) -> list[Mapping[str, object]]:
    """Return one row a number: context, question, the right answer, and the same as JSON.

    Every second number has no answer. A context is four sentences: the fact, something else of who is asked about, the
    same of another, and something else of a third. Where there is no answer, the fact is told of a fourth instead: name
    and kind of the fact both occur, and only the one sentence that joins them is missing. The number and the seed
    decide everything else, so that the other kind of a row differs in that sentence alone.
    """
    names = made_up_names(seed)
    return [context_row(number, names, seed=seed, has_answer=number % 2 == 0) for number in numbers]


def context_row(number: int, names: Sequence[str], *, seed: int, has_answer: bool) -> Mapping[str, object]:
    """Return a row of either kind; ``names`` are those of `facts.made_up_names`."""
    draw = Draws(f"{IN_CONTEXT}/{seed}/{number}")
    asked = number % len(ATTRIBUTES)
    others = draw.several([kind for kind in range(len(ATTRIBUTES)) if kind != asked], 2)
    name = names[number]
    second, third, fourth = [other for other in draw.several(names, 4) if other != name][:3]
    wordings, values = ATTRIBUTES[asked]
    value, other_value = draw.several(values, 2)

    def told(kind: int, of: str, what: str) -> str:
        return ATTRIBUTES[kind][0][-1].format(name=of, value=what)

    sentences = [
        told(asked, name if has_answer else fourth, value),
        told(others[0], name, draw.one(ATTRIBUTES[others[0]][1])),
        told(asked, second, other_value),
        told(others[1], third, draw.one(ATTRIBUTES[others[1]][1])),
    ]
    answer = value if has_answer else UNANSWERED
    return {
        "context": " ".join(draw.several(sentences, len(sentences))),
        "question": wordings[_QUESTION].format(name=name),
        "answer": answer,
        "json": json.dumps({"answer": answer}),
    }
