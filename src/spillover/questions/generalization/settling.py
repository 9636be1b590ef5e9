"""What would settle an open verdict: how many more items of which task, or training seeds, and how long they take."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from spillover.analysis.readings import SIGNIFICANT, Reading, Subject
from spillover.analysis.wording import NAMED_COUNT, named
from spillover.records import Relation, StudyResults
from spillover.statistics.distributions import ndtri, stdtrit
from spillover.statistics.inference import ONE_SIDED, unit_margin
from spillover.statistics.means import Mean
from spillover.statistics.power import POWER, fewest_items
from spillover.statistics.scatter import seeds_needed

MOST_TIMES = 100
"""Times as many items from which on a difference counts as too close to the margin to be settled by items."""


def settling(results: StudyResults, subject: Subject, questions: Sequence[tuple[Reading, float]]) -> str:
    """Return what would settle a verdict, in words; empty where nothing is open.

    Were the differences seen the true ones: what is seen to have lost half of what is allowed, or more, is settled by
    showing the loss, what has lost less by showing that it lost no more than that. So many items do it with a chance of
    `POWER`.

    Args:
        results: Of the study.
        subject: What is judged.
        questions: What is not shown to have lost little enough, and how much that is, in shares.
    """
    if not questions:
        return ""
    seeds = next((words for entry, allowed in questions if (words := _seeds_words(subject, entry, allowed))), "")
    if seeds:
        return seeds
    times: dict[str, float] = {}
    for entry, allowed in questions:
        needed = _items_needed(subject, entry, allowed)
        if needed is None:
            return _without_interval(subject)
        times |= {task: max(times.get(task, 1.0), times_as_many) for task, times_as_many in needed.items()}
    times = {task: times_as_many for task, times_as_many in times.items() if times_as_many > 1}
    if not times:
        return ""
    if max(times.values()) > MOST_TIMES:
        nearest = max(times, key=lambda task: times[task])
        return f"what {nearest} changed by is too close to what is allowed for more items to settle it"
    counts = {entry.tasks[0]: entry.item_count for entry in subject.tasks}
    fewest = {
        task: max(
            fewest_items(allowed) if entry.metric.unit == "share" and len(entry.tasks) == 1 else 0
            for entry, allowed in questions
            if task in entry.tasks
        )
        for task in times
    }
    more = {task: max(math.ceil((times[task] - 1) * counts[task]), fewest[task] - counts[task], 1) for task in times}
    seconds = sum(results.item_seconds.get(task, 0.0) * count for task, count in more.items())
    time = f" ({_duration(seconds)} of processor time)" if seconds else ""
    return f"about {_listed(more)}{time} would settle it"


def _listed(more: Mapping[str, int]) -> str:
    """Write how many more items of which tasks, most first; of many tasks the rest together."""
    first = sorted(more, key=lambda task: -more[task])
    if len(first) > 1 and len({_rounded(count) for count in more.values()}) == 1:
        return f"{_rounded(more[first[0]])} more items each of {named(first)}"
    parts = [f"{_rounded(more[task])} of {task}" for task in first[:NAMED_COUNT]]
    if rest := first[NAMED_COUNT:]:
        parts.append(f"{_rounded(sum(more[task] for task in rest))} of {len(rest)} more")
    count, _, others = ", ".join(parts).partition(" ")
    return f"{count} more item{'' if count == '1' else 's'} {others}"


def _without_interval(subject: Subject) -> str:
    """Say which tasks have no interval, so that nothing can be said of how many more items it takes."""
    names = [entry.tasks[0] for entry in subject.tasks if entry.mean.found.confidence is None]
    of = f"{named(names)} {'has' if len(names) == 1 else 'have'}" if names else "some task has"
    return f"{of} too few items, or too few that changed, for an interval: test on more"


def _items_needed(subject: Subject, entry: Reading, allowed: float) -> dict[str, float] | None:
    """Return how many times as many items of which tasks; None where nothing is known of how far they may be off.

    Tasks of a mean are combined as squares, so that those that are off by most need more first, down to the distance
    with which the rest comes near enough.
    """
    members = [task for task in subject.tasks if task.tasks[0] in entry.tasks and task.relation is entry.relation]
    if entry.relation is Relation.UNSTATED and len(members) > 1:  # the one that gained most does not count
        members.remove(max(members, key=lambda task: task.sign * task.mean.difference))
    mean = entry.mean if entry.looks_lost else entry.can_lose
    if mean is None or mean.found.confidence is None:
        return None
    wanted = _wanted(entry, mean, allowed)
    if wanted <= 0:
        return {entry.tasks[0]: math.inf}
    is_lost = entry.sign * mean.difference < 0 and wanted == abs(mean.difference)
    level = 1 - _tail(entry) if is_lost else ONE_SIDED
    cell_count = sum(task.cell_count for task in members)
    off: dict[str, tuple[float, float]] = {}
    for task in members:
        found = _off_by(task, level, is_upper=is_lost == (entry.sign > 0))
        if found is None:
            return None
        weight = task.cell_count / cell_count
        off[task.tasks[0]] = weight * found[0], weight * found[1]
    near = _level_with(sorted(sum(parts) for parts in off.values()), wanted)
    return {task: _times(*parts, near) for task, parts in off.items()}


def _off_by(task: Reading, level: float, *, is_upper: bool) -> tuple[float, float] | None:
    """Return what an end of a task's interval is off by, in two parts.

    The spread of the items shrinks with the root of their number, what the one imagined item adds (`gaffke`) with their
    number: of items that did not change there is no other.
    """
    confidence = task.mean.found.confidence
    if confidence is None:
        return None
    end = confidence.upper(level) if is_upper else confidence.lower(level)
    imagined = max(0.0, abs(confidence.value - end) - float(ndtri(level)) * task.mean.item_error)
    return imagined, float(ndtri(level) + ndtri(POWER)) * task.mean.item_error


def _level_with(rising: Sequence[float], wanted: float) -> float:
    """Return to what distances have to come down, at the most, for their squares to sum to that of ``wanted``."""
    left = wanted**2
    for index, distance in enumerate(rising):
        others = len(rising) - index
        if distance**2 * others > left:
            return math.sqrt(left / others)
        left -= distance**2
    return math.inf


def _times(imagined: float, spread: float, wanted: float) -> float:
    """Return how many times as many items bring both parts together down to ``wanted``."""
    if imagined + spread <= wanted:
        return 1.0
    # 1 / root of the factor, of: spread * root + imagined * root ** 2 = wanted
    root = 2 * wanted / (spread + math.sqrt(spread**2 + 4 * imagined * wanted))
    return 1 / root**2


def _wanted(entry: Reading, mean: Mean, allowed: float) -> float:
    """Return how near the end has to come to the difference."""
    margin, gain = allowed * unit_margin(entry.metric), entry.sign * mean.difference
    return gain + margin if gain > -margin / 2 else -gain


def _tail(entry: Reading) -> float:
    """Return how small the tail beyond zero has to be for a loss to be significant after adjustment."""
    p_value, adjusted = entry.mean.found.p_value, entry.adjusted_p_value
    times = max(1.0, adjusted / p_value) if p_value and adjusted else 1.0
    return SIGNIFICANT / 2 / times


def _seeds_words(subject: Subject, entry: Reading, allowed: float) -> str:
    """Say how many training seeds it takes where their scatter is most of what is open."""
    scatter, found = entry.mean.scatter, entry.mean.found
    if scatter is None or found.low is None or found.high is None:
        return ""
    half = (found.high - found.low) / 2
    seed_part = float(stdtrit(scatter.freedom, (1 + ONE_SIDED) / 2)) * scatter.error
    if seed_part**2 < half**2 / 2:
        return ""
    item_part = float(np.sqrt(max(0.0, half**2 - seed_part**2)))
    deviation = scatter.error * math.sqrt(len(subject.cards))
    count = seeds_needed(_wanted(entry, entry.mean, allowed), deviation, item_part)
    if count is None:
        return f"{len(subject.cards)} training seeds differ too much to tell; more of them come first"
    return f"about {count} training seeds in place of {len(subject.cards)} would settle it"


def _rounded(count: int) -> str:
    """Write a number with two digits that count."""
    digits = max(0, len(str(count)) - 2)
    return f"{math.ceil(count / 10**digits) * 10**digits:,}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} seconds"
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
