"""How broad a dataset is: its effective number of kinds of task times that of its output formats."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from spillover.errors import SpilloverError
from spillover.prompts.demonstrations import normalised
from spillover.records import Example
from spillover.tasks.task import Task

OutputFormat = Literal["label word", "span", "sentence", "list", "number", "free text"]

_VERDICTS = {"yes", "no", "true", "false"}
_NUMBER = re.compile(r"[-+]?[$€£]?\s?[-+]?(\d{1,3}(,\d{3})+|\d+)?(\.\d+)?([eE][-+]?\d+)?\s?%?")
_MARKED_ITEM = re.compile(r"\s*([-*•]|\d+[.)])\s+\S")
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s|$)")
_ITEM_WORDS = 4
"""An item of a list on one line has at most so many words; longer parts between commas are clauses."""
_SPAN_WORDS = 8
"""A text without a sentence's end and with more words is a sentence all the same (as lower-case headlines are)."""


def output_format(target: str, answers: Sequence[str] = ()) -> OutputFormat:
    """Return the format of a target; the first rule that holds decides.

    A label word is one of the answers, or yes, no, true, false. A number is nothing but one, with a currency sign,
    thousands separators or a percent sign. A list has marked lines, or two or more short items between commas,
    semicolons or bars and no sentence's end. Several lines or sentences are free text; two words or more that end as
    a sentence, or more than eight, are a sentence; what is left is a span.
    """
    text = target.strip()
    if text in answers or text.casefold().rstrip(".") in _VERDICTS:
        return "label word"
    if any(letter.isdigit() for letter in text) and _NUMBER.fullmatch(text):
        return "number"
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1:
        return "list" if all(_MARKED_ITEM.match(line) for line in lines) else "free text"
    ends = len(_SENTENCE_END.findall(text))
    items = re.split(r"\s*[,;|]\s+", text)
    if len(items) > 1 and not ends and all(0 < len(item.split()) <= _ITEM_WORDS for item in items):
        return "list"
    if ends > 1:
        return "free text"
    word_count = len(text.split())
    return "sentence" if (ends and word_count > 1) or word_count > _SPAN_WORDS else "span"


def effective_number(labels: Iterable[object]) -> float:
    """Return exp of the entropy of the labels' shares (Hill number of order 1): how many, were all as frequent.

    Raises:
        SpilloverError: If there are no labels.
    """
    counts = Counter(labels)
    total = counts.total()
    if not total:
        raise SpilloverError("the effective number of no rows has no value")
    return math.exp(-sum(count / total * math.log(count / total) for count in counts.values()))


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many kinds of task and of output a dataset effectively has."""

    kind_count: float
    format_count: float

    @property
    def number(self) -> float:
        """Their product: 1 for one task with one format (specialist-generalist sheet, section 2.3)."""
        return self.kind_count * self.format_count


def coverage(parts: Iterable[tuple[Task, Sequence[Example]]]) -> Coverage:
    """Return the coverage of rows of one or more tasks.

    Rows are of one kind when they are of one task and alike in the field that the task's ``kind`` names.
    """
    rows = [(task, example) for task, examples in parts for example in examples]
    kinds = [(task.name, normalised(example.fields[task.kind]) if task.kind else "") for task, example in rows]
    formats = [output_format(example.target, task.answers) for task, example in rows]
    return Coverage(effective_number(kinds), effective_number(formats))
