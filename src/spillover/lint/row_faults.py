"""Lint's checks of rows: overlap of training, test and mixed sources, demonstrations, balance, shared texts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product

from spillover.lint.findings import Asked, Evidence, Finding, Severity
from spillover.prompts.demonstrations import text_of
from spillover.records import Example
from spillover.tasks.labels import twin_labels
from spillover.tasks.overlap import NEAR, Pair, equal_rows, near_rows
from spillover.tasks.prepare import account_lines
from spillover.tasks.source import FileSource

OVERLAP_SHARE = 0.01
"""Of a task's test rows; fewer that were learnt cannot move its score by more than a point."""
LOPSIDED, IMBALANCED = 0.8, 1.5
"""Share of the most frequent answer from which a task is warned of; times its even share from which it is noted."""

_NEARLY = f"are nearly equal ({NEAR:.0%} of their text)"
Compare = Callable[[Sequence[Example], Sequence[Example]], list[Pair]]


def left_out_rows(evidence: Evidence) -> Iterator[Finding]:
    """It is said which rows of a user's own file are used by nothing, and which contradict one another."""
    for name, prepared in evidence.prepared.items():
        sources = evidence.study.suite.task(name).sources
        if not any(isinstance(source, FileSource) for source in sources.all):
            continue
        if left := account_lines(prepared, sources)[1:]:
            contradicting = prepared.account["contradicting"]
            yield Finding(
                "left-out-rows",
                Severity.WARNING if contradicting else Severity.NOTE,
                f"task {name!r}",
                f"of {prepared.account['read']} rows " + "; ".join(line.strip() for line in left),
                "the first of two rows that contradict is trained on or asked, whichever of them is right"
                if contradicting
                else "they are neither trained on nor asked",
                "correct the rows that contradict" if contradicting else "nothing, if that is what you expect",
            )


def twin_answers(evidence: Evidence) -> Iterator[Finding]:
    """No two answers are spellings of one word."""
    for name in evidence.prepared:
        answers = evidence.study.suite.task(name).answers
        for twin, answer in twin_labels(dict.fromkeys(answers, 1)).items():
            yield Finding(
                "twin-answers",
                Severity.WARNING,
                f"task {name!r}",
                f"the answers {twin!a} and {answer!a} are one word in two spellings",
                "a model cannot know which of them a row wants, and is wrong half of the time",
                "keep one of them in answers, and join them with `map` in the target",
            )


def overlaps(evidence: Evidence) -> Iterator[Finding]:
    """No test row is a training row, or nearly one, of a task that is trained on or mixed in."""
    asked = [(asked, row) for asked in evidence.asked_once for row in asked.cell.asked.examples]
    tests = [row for _, row in asked]
    comparisons: tuple[tuple[Compare, str], ...] = ((equal_rows, "equal"), (near_rows, f"{_NEARLY} to"))
    for (trained_on, trained), (compare, words) in product(evidence.trained_examples.items(), comparisons):
        found: dict[str, list[Pair]] = defaultdict(list)
        for pair in compare(tests, trained):
            found[asked[pair.row][0].step.data.task.name].append(pair)
        for tested_on, among in found.items():
            total = len(asked[among[0].row][0].cell.asked.examples)
            serious = compare is equal_rows and len(among) >= OVERLAP_SHARE * total
            clean = evidence.study.protocol == "clean"
            yield Finding(
                "overlap" if compare is equal_rows else "near-overlap",
                Severity.ERROR if serious and clean else Severity.WARNING,
                f"task {tested_on!r}",
                f"{len(among)} of {total} test rows {words} training rows of {trained_on!r}, such as "
                f"{tests[among[0].row].id} and {trained[among[0].other].id}",
                "what was learnt by heart would count as generalization",
                "remove the rows from one of the files, or leave the task out of test_on; group splits rows together",
            )


def mixed_sources(evidence: Evidence) -> Iterator[Finding]:
    """No row of a mixture's source is nearly a row of another; equal ones are left out as the mixture is made."""
    together: dict[tuple[str, str], list[dict[str, Example]]] = {}
    for trained in evidence.trained:
        for one, other in combinations(trained.sources, 2):
            held = together.setdefault((one, other), [{}, {}])
            for rows, name in zip(held, (one, other), strict=True):
                rows.update({row.id: row for row in trained.sources[name]})
    for (one, other), (first, second) in together.items():
        known, added = list(first.values()), list(second.values())
        if pairs := near_rows(added, known):
            yield Finding(
                "near-duplicates",
                Severity.WARNING,
                f"mixtures of {one!r} and {other!r}",
                f"{len(pairs)} of {len(added)} rows of {other!r} {_NEARLY} to rows of {one!r}, such as "
                f"{added[pairs[0].row].id} and {known[pairs[0].other].id}",
                f"part of what {other!r} adds is {one!r} again, so that a gain may be no more than repetition",
                "remove the rows from one of the files, or read the gain beside that of extra-steps",
            )


def demonstrations(evidence: Evidence) -> Iterator[Finding]:
    """No test row is shown as a demonstration, or nearly."""
    for asked in evidence.asked_once:
        task = asked.step.data.task.name
        is_shown = any(other.step.cell.shots for other in evidence.asked if other.step.data.task.name == task)
        pool, rows = evidence.prepared[task].demonstrations if is_shown else (), asked.cell.asked.examples
        comparisons: tuple[tuple[Compare, str], ...] = ((equal_rows, "equal"), (near_rows, "nearly equal"))
        for compare, words in comparisons:
            if pairs := compare(rows, pool):
                yield Finding(
                    "demonstrations",
                    Severity.WARNING,
                    f"task {task!r}",
                    f"{len(pairs)} of {len(rows)} test rows {words} a demonstration, such as {rows[pairs[0].row].id}",
                    "their answer stands in the prompt",
                    "set protocol: clean" if compare is equal_rows else "remove one of each pair, or set group",
                )
        if count := asked.dropped.get("equals a demonstration", 0):
            yield Finding(
                "demonstrations",
                Severity.NOTE,
                f"task {task!r}",
                f"{count} test rows equal a demonstration and are left out",
                "their answer would stand in the prompt",
                "nothing; it is counted in the report",
            )


def balance(evidence: Evidence) -> Iterator[Finding]:
    """It is said what always giving the most frequent answer would score, and which answers never come."""
    for asked in evidence.asked_once:
        if finding := _majority(asked):
            yield finding
    for task, rows in evidence.trained_examples.items():
        answers = evidence.study.suite.task(task).answers
        absent = [answer for answer in answers if answer not in {row.target for row in rows}]
        if absent:
            yield Finding(
                "imbalance",
                Severity.WARNING,
                f"training rows of {task!r}",
                f"no row has the answer {', '.join(map(repr, absent))}",
                "a variant learns never to give it",
                "train on more rows (sizes), or remove the answer from answers",
            )


def _majority(asked: Asked) -> Finding | None:
    answers, rows = asked.cell.asked.answers, asked.cell.asked.examples
    if not answers:
        return None
    (most, count), *_ = Counter(row.target for row in rows).most_common()
    share = count / len(rows)
    if share < LOPSIDED and share < IMBALANCED / len(answers):
        return None
    return Finding(
        "imbalance",
        Severity.WARNING if share >= LOPSIDED else Severity.NOTE,
        f"task {asked.step.data.task.name!r}",
        f"{count} of {len(rows)} test rows have the answer {most!r}; always giving it scores {share:.2f}",
        "an accuracy near that may be no skill at all",
        "compare with that score, and read macro_f1 or mcc beside accuracy",
    )


def contamination(evidence: Evidence) -> Iterator[Finding]:
    """It is said where test rows of a task are rows of another task that come from other files."""
    if len(evidence.prepared) < 2:
        return
    sources = {name: evidence.study.suite.task(name).sources for name in evidence.prepared}
    tested = {text_of(row) for asked in evidence.asked_once for row in asked.cell.asked.examples}
    trained = {row.id for rows in evidence.trained_examples.values() for row in rows}
    holders: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, prepared in evidence.prepared.items():
        for row in (*prepared.train, *prepared.demonstrations, *prepared.test):
            if row.id not in trained and (text := text_of(row)) in tested and name not in holders[text]:
                holders[text].append(name)
    for asked in evidence.asked_once:
        name, counts = asked.step.data.task.name, Counter[str]()
        for row in asked.cell.asked.examples:
            counts.update(other for other in holders[text_of(row)] if sources[other] != sources[name])
        for other, count in counts.items():
            yield Finding(
                "contamination",
                Severity.NOTE,
                f"task {name!r}",
                f"{count} of {len(asked.cell.asked.examples)} test rows are also rows of {other!r}",
                "the two tasks are no separate evidence, and rows that are public may be in the base's own training",
                "test on one of the two, or remove the rows that both hold",
            )
