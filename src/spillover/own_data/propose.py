"""What a study of a user's own data should be: family, answers, prompt, sizes and what else is tested."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spillover.errors import UserError
from spillover.own_data.columns import OPTIONAL_SHARE
from spillover.own_data.look import LONGEST_LABEL, Table, label_counts, options_column
from spillover.prompts.demonstrations import normalised
from spillover.prompts.words import is_latin, words
from spillover.tasks.labels import folded, twin_labels
from spillover.tasks.suite import load_suite

POCKET = "pocket"
MOST_LABELS = 50
"""Answers that are scored one by one for every test row; more make a task of another kind."""
LEAST_TRAIN, LEAST_TEST, MOST_TEST, MOST_TRAIN = 16, 20, 250, 1000
"""Rows. 250 test rows show a loss of 7 points at two shot counts (`analysis.power`). A thousand training rows take a
small model hours on a processor; the study file says where to ask for more."""
PROMPT_WORDS = 600
"""Words of a whole prompt with its demonstrations, at 1.5 tokens a word about 900 of the 1024 that a row may have."""
LOPSIDED = 0.8
"""Share of the most frequent label from which accuracy says little and macro F1 leads."""
SMALL = ("tweets", "sts-captions")
"""Tasks of the pocket suite, a family each, of small archives (2 MB and 0.4 MB) and of independent rows."""
OWN_FAMILY = {"sentiment": ("tweets", "movie"), "inference": ("snli", "news-consistency"), "summary": ("bbc", "xsum")}
"""Families of the pocket suite that a user's data may belong to, and tasks that are out-of-domain then."""


@dataclass(frozen=True, slots=True)
class OwnTask:
    """A task made of one of the user's files."""

    name: str
    table: Table
    demonstration_count: int
    test_count: int
    train_count: int
    left_out: tuple[str, ...] = ()
    """Labels that the training file does not have; their rows are dropped."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A study of a user's data, ready to be written."""

    family: str
    inputs: tuple[tuple[str, str], ...]
    """Field and the column it is read from."""
    followed_by: tuple[str, ...]
    """Columns that some rows have nothing in; they follow the first input where there is something."""
    target: str
    """Column."""
    group: str
    """Column whose equal values keep rows in one part; empty without one."""
    label_map: Mapping[str, str]
    """Every label as a file spells it to the answer; empty where no two of them are one word."""
    prompt: str
    answers: tuple[str, ...]
    """Empty for free text, and where each row has options of its own."""
    options: str
    """Where a row lists the options that its target is one of; empty without them."""
    metrics: tuple[str, ...]
    """The first one leads."""
    shots: int
    """Demonstrations, where there are any."""
    word_limit: int | None
    """Of an input; None where all are short."""
    max_new_tokens: int
    stop: str
    trained: OwnTask
    also: tuple[OwnTask, ...]
    out_of_domain: tuple[str, ...]
    """Tasks of the pocket suite."""
    cross_task: tuple[str, ...]
    """Tasks of the pocket suite."""


def propose(train: Table, inputs: Sequence[str], target: str, also: Sequence[Table], *, group: str = "") -> Proposal:
    """Look at the data and decide; what cannot be made a study is a UserError of one line."""
    if target in inputs:
        raise UserError(f"{train.path}: column {target!r} is both input and target; name another --input or --target")
    if group in (target, *inputs):
        raise UserError(f"{train.path}: column {group!r} is both --group and input or target; name another")
    options = options_column(train, target)
    texts = {column: train.texts(column) for column in (*inputs, *([group] if group else []))}
    followed_by = tuple(name for name in inputs[1:] if texts[name].count("") > OPTIONAL_SHARE * len(train.rows))
    inputs, all_inputs = [name for name in inputs if name not in followed_by], inputs
    counts, label_map = _merged(label_counts(train, target), [label_counts(table, target) for table in also])
    answers = () if options else _answers(train, target, counts)
    family = "choice" if options else _family(answers, inputs, target)
    shots = 2 if len(answers) <= 2 else min(4, len(answers))
    fields = _fields(inputs)
    known = load_suite(POCKET).tasks
    label_map = label_map if answers else {}
    trained = _trained(train, inputs, followed_by, answers, shots)
    others: list[OwnTask] = []
    for table in also:
        usable = _usable_count(table, inputs, followed_by)
        others.append(_tested(table, usable, target, answers, label_map, shots, [trained, *others]))
    out_of_domain = () if also else OWN_FAMILY.get(family, ())
    longest = max(len(text.split()) for table in (train, *also) for name in all_inputs for text in table.texts(name))
    word_limit = PROMPT_WORDS // ((shots + 1) * len(inputs))
    return Proposal(
        family,
        tuple(zip(fields, inputs, strict=True)),
        followed_by,
        target,
        group,
        label_map,
        _prompt(family, fields, inputs, target),
        answers,
        options,
        ("accuracy",) if options else _metrics(answers, counts),
        shots,
        word_limit if longest > word_limit else None,
        _token_limit(counts),
        "\n###" if any("\n\n" in text for text in counts) else "\n\n",
        trained,
        tuple(others),
        out_of_domain,
        tuple(name for name in SMALL if known[name].family != family),
    )


def _answers(table: Table, target: str, counts: Counter[str]) -> tuple[str, ...]:
    """Return the answer set, or nothing for free text."""
    total = counts.total()
    if len(counts) == 1:
        raise UserError(
            f"{table.path}: all {total} rows have the target {next(iter(counts))!r}; expected at least two different "
            "ones, or name another column with --target"
        )
    repeats = len(counts) <= max(2, total / 3)
    numbers = [number for number in map(_number, counts) if number is not None]
    if len(numbers) == len(counts) and (len(counts) > MOST_LABELS or not all(n.is_integer() for n in numbers)):
        raise UserError(
            f"{table.path}: column {target!r} holds {len(counts)} different numbers; expected labels or text: turn "
            "them into labels first, such as low and high"
        )
    if not repeats or max(map(len, counts)) > LONGEST_LABEL:
        return ()
    if len(counts) > MOST_LABELS:
        raise UserError(
            f"{table.path}: column {target!r} holds {len(counts)} labels, more than the {MOST_LABELS} that are scored "
            "one by one; join the rare ones, or name another column with --target"
        )
    return tuple(sorted(counts))


def _family(answers: Sequence[str], inputs: Sequence[str], target: str) -> str:
    """Return the pocket suite's family where the data is plainly of its kind, else a word of our own."""
    words = {answer.casefold() for answer in answers}
    if words == {"positive", "negative"} and len(inputs) == 1:
        return "sentiment"
    if words == {"entailment", "contradiction", "neutral"} and len(inputs) == 2:
        return "inference"
    if not answers:
        return "summary" if target.casefold() in ("summary", "highlights") and len(inputs) == 1 else "writing"
    return "classification" if len(inputs) == 1 else "pair-classification"


def _fields(columns: Sequence[str]) -> tuple[str, ...]:
    """Return a field name for each column: its own in words that a template can hold."""
    fields: list[str] = []
    for column in columns:
        field = re.sub(r"\W+", "_", column).strip("_").lower() or "input"
        fields.append(field if field not in fields else f"{field}_{len(fields) + 1}")
    return tuple(fields)


def _prompt(family: str, fields: Sequence[str], inputs: Sequence[str], target: str) -> str:
    """Return the family's own prompt of the pocket suite with our fields, or one that names the columns."""
    known = next((task for task in load_suite(POCKET).tasks.values() if task.family == family), None)
    if known:
        text = known.prompts[1].text
        for theirs, ours in zip(known.columns, fields, strict=True):
            text = text.replace(f"{{{theirs}}}", f"{{{ours}}}")
        return text
    parts = [f"### {_heading(column)}:\n{{{field}}}\n" for field, column in zip(fields, inputs, strict=True)]
    return "".join(parts) + f"### {_heading(target)}:"


def _heading(column: str) -> str:
    return re.sub(r"[\W_]+", " ", column).strip().capitalize() or "Input"


def _merged(counts: Counter[str], others: Sequence[Counter[str]]) -> tuple[Counter[str], dict[str, str]]:
    """Return the rows of each label, spellings of one word together, and every label to the one it counts as.

    The map is empty where no label is spelled in two ways. A label of the other files that is none of the training
    file's is not in it.
    """
    twins = twin_labels(counts)
    known = {folded(label): label for label in counts if label not in twins}
    foreign = {label: known[folded(label)] for other in others for label in other if folded(label) in known}
    if not twins and all(label == answer for label, answer in foreign.items()):
        return counts, {}
    merged = Counter[str]()
    for label, count in counts.items():
        merged[twins.get(label, label)] += count
    return merged, {label: twins.get(label, label) for label in counts} | foreign


def _trained(
    table: Table, inputs: Sequence[str], followed_by: Sequence[str], answers: Sequence[str], shots: int
) -> OwnTask:
    usable = _usable_count(table, inputs, followed_by)
    demonstrations = max(shots, len(answers))
    least = demonstrations + LEAST_TEST + LEAST_TRAIN
    if usable < least:
        raise UserError(
            f"{table.path}: {usable} of {len(table.rows)} rows are usable (with an input, and not twice the same); at "
            f"least {least} are needed: {demonstrations} demonstrations, {LEAST_TEST} to test, {LEAST_TRAIN} to train"
        )
    test = min(MOST_TEST, max(LEAST_TEST, usable // 3))
    train = min(MOST_TRAIN, usable - demonstrations - test)
    return OwnTask(_name(table, ()), table, demonstrations, test, train)


def _tested(
    table: Table,
    usable: int,
    target: str,
    answers: Sequence[str],
    label_map: Mapping[str, str],
    shots: int,
    others: Sequence[OwnTask],
) -> OwnTask:
    """Return the task of a file that is only tested on; it has to have the columns of the training file."""
    counts = label_counts(table, target)
    left_out = tuple(sorted(label for label in counts if label_map.get(label, label) not in answers)) if answers else ()
    usable -= sum(counts[label] for label in left_out)
    absent = set(answers) - {label_map.get(label, label) for label in counts}
    demonstrations = max(shots, len(answers) - len(absent))
    if usable < demonstrations + LEAST_TEST:
        unknown = f" after the labels {', '.join(left_out)}, which are not in the training file," if left_out else ""
        raise UserError(
            f"{table.path}: {max(0, usable)} rows are usable{unknown} with an input and not twice the same; at least "
            f"{demonstrations + LEAST_TEST} are needed"
        )
    name = _name(table, [other.name for other in others])
    return OwnTask(name, table, demonstrations, min(MOST_TEST, usable - demonstrations), 0, left_out)


def _usable_count(table: Table, inputs: Sequence[str], followed_by: Sequence[str]) -> int:
    needed, columns = len(inputs), [map(normalised, table.texts(column)) for column in (*inputs, *followed_by)]
    return len({row for row in zip(*columns, strict=True) if all(row[:needed])})


def _name(table: Table, taken: Iterable[str]) -> str:
    """Return a task's name: the file's, unless another task has it."""
    name = re.sub(r"[^\w.-]+", "-", table.path.stem).strip("-.").lower() or "data"
    used = {*load_suite(POCKET).tasks, *taken, "all"}
    return next(
        found for found in (name, f"own-{name}", *(f"own-{name}-{n}" for n in range(2, 99))) if found not in used
    )


def _metrics(answers: Sequence[str], counts: Counter[str]) -> tuple[str, ...]:
    """Return what suits the targets. A share leads, or the tasks would have no mean.

    Where most letters are not Latin, characters are compared too and in place of BLEU: it counts whole forms of words,
    of which texts in languages that inflect them share few, and needs to know where words end.
    """
    if answers and counts.most_common(1)[0][1] >= LOPSIDED * counts.total():
        return ("macro_f1", "accuracy", "mcc", "ece", "brier")
    if answers:
        return ("accuracy", "macro_f1", "mcc", "ece", "brier")
    if not any(map(words, counts)):
        return ("accuracy", "chrf", "label_share")
    return ("rouge_l", "bleu" if is_latin(counts) else "chrf", "label_share")


def _token_limit(targets: Iterable[str]) -> int:
    """Return tokens that the longest target has about, at two bytes of UTF-8 a token, between 16 and 256."""
    return min(256, max(16, math.ceil(max(len(target.encode()) for target in targets) / 2)))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
