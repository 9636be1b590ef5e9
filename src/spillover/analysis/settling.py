"""What would settle an open verdict: how many more items of which task, or training seeds, and how long they take."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri, stdtrit

from spillover.analysis.inference import ONE_SIDED, unit_margin
from spillover.analysis.means import Mean
from spillover.analysis.power import POWER, fewest_items
from spillover.analysis.readings import SIGNIFICANT, Reading, Subject
from spillover.analysis.scatter import seeds_needed
from spillover.records import StudyResults

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
    needs = [(_items_needed(entry, allowed), entry, allowed) for entry, allowed in questions]
    alone = [need for need in needs if len(need[1].tasks) == 1]
    # A relation of several tasks is open through them; what its tasks need settles it, or nearly.
    times, entry, allowed = max(alone or needs, key=lambda need: need[0])
    seeds = _seeds_words(subject, entry, allowed)
    if seeds:
        return seeds
    if not math.isfinite(times) or times > MOST_TIMES:
        return f"what {entry.tasks[0]} changed by is too close to what is allowed for more items to settle it"
    count = entry.item_count
    fewest = fewest_items(allowed) if entry.metric.unit == "share" else 0
    more = max(math.ceil((times - 1) * count), fewest - count, 1)
    seconds = sum(results.item_seconds.get(task, 0.0) for task in entry.tasks) / len(entry.tasks) * more
    time = f" ({_duration(seconds)} of processor time)" if seconds else ""
    of = entry.tasks[0] if len(entry.tasks) == 1 else f"{', '.join(entry.tasks)} together"
    return f"about {_rounded(more)} more items of {of}{time} would settle it"


def _items_needed(entry: Reading, allowed: float) -> float:
    """Return how many times as many items.

    What an end is off by has two parts: the spread of the items, which shrinks with the root of their number, and what
    the one imagined item adds (`gaffke`), which shrinks with their number: of items that did not change there is no
    other.
    """
    mean = entry.can_lose
    confidence = mean.found.confidence if mean else None
    if mean is None or confidence is None:
        return 1.0
    wanted = _wanted(entry, mean, allowed)
    if wanted <= 0:
        return math.inf
    is_lost = entry.sign * mean.difference < 0 and wanted == abs(mean.difference)
    level = 1 - _tail(entry) if is_lost else ONE_SIDED
    end = confidence.upper(level) if is_lost == (entry.sign > 0) else confidence.lower(level)
    imagined = max(0.0, abs(confidence.value - end) - float(ndtri(level)) * mean.item_error)
    spread = float(ndtri(level) + ndtri(POWER)) * mean.item_error
    if imagined + spread == 0:
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
