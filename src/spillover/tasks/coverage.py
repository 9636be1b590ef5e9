"""How broad training data is: the effective number of its tasks times that of its output formats."""

import math
import re
from collections import Counter
from collections.abc import Hashable, Iterable

from spillover.prompts.demonstrations import normalised
from spillover.records import Example
from spillover.tasks.task import Task

INSTRUCTION = "instruction"
"""The field that makes every row a task of its own kind, where a task has it."""
SENTENCE_WORDS = 40
"""A target of more words than this is no sentence."""

_NUMBER = re.compile(r"[-+]?[$€£]?\s?\d[\d,]*(\.\d+)?\s?%?")
_LIST = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)


def output_format(row: Example, task: Task) -> str:
    """Return what kind of answer a row has: label word, number, span, list, sentence or free text."""
    target = row.target.strip()
    if task.is_classification:
        return "label word"
    if _NUMBER.fullmatch(target):
        return "number"
    if any(normalised(target) in normalised(value) for value in row.fields.values()):
        return "span"
    if len(_LIST.findall(target)) > 1:
        return "list"
    return "sentence" if "\n" not in target and len(target.split()) <= SENTENCE_WORDS else "free text"


def coverage(rows: Iterable[tuple[Example, Task]]) -> float:
    """Return exp(H(task)) x exp(H(format)) of training rows (sheet specialist-generalist, 2.3); at least 1.

    A row's task is its instruction where it has one, else the task it is a row of.
    """
    pairs = list(rows)
    tasks = Counter((task.name, normalised(row.fields.get(INSTRUCTION, ""))) for row, task in pairs)
    return _effective_number(tasks) * _effective_number(Counter(output_format(row, task) for row, task in pairs))


def _effective_number(counts: Counter[Hashable] | Counter[str] | Counter[tuple[str, str]]) -> float:
    total = sum(counts.values())
    return math.exp(-sum(count / total * math.log(count / total) for count in counts.values()))
