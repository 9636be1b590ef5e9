"""What stands in the tables of mixing: differences and scores with their intervals, and the forms of arms."""

from __future__ import annotations

from dataclasses import replace

from spillover.analysis.wording import interval_words, plain, signed
from spillover.report.section import Entry
from spillover.report.tables import TINTS
from spillover.statistics.contrasts import Estimate

NOTHING = "–"


def heat_entry(found: Estimate) -> Entry:
    """Return a difference with the tint of its size, and a star where it is clear."""
    level = sum(abs(found.mean) >= threshold for threshold in TINTS)
    return Entry(
        signed(found.mean),
        small=(interval_words(found.low, found.high),),
        is_strong=True,
        star="interval excludes zero" if found.is_above_zero or found.is_below_zero else "",
        tint=f"{'up' if found.mean > 0 else 'down'}{level}" if level else "flat",
    )


def form_words(size: int, budget: str, order: str) -> str:
    """Return what an arm is compared at."""
    return f"{size:,} rows, {budget}, {order}"


def known(value: float | None) -> str:
    """Return a number that may not be known."""
    return NOTHING if value is None else plain(value)


def difference(found: Estimate | None) -> Entry:
    """Return a difference with its interval."""
    return Entry(NOTHING) if found is None else _estimate(signed(found.mean), found)


def level(found: Estimate | None) -> Entry:
    """Return a score with its interval."""
    return Entry(NOTHING) if found is None else _estimate(plain(found.mean), found)


def _estimate(mean: str, found: Estimate) -> Entry:
    return Entry(mean, small=(interval_words(found.low, found.high),), is_strong=True)


def beside(entry: Entry, words: str) -> Entry:
    """Return an entry with words in smaller print."""
    return replace(entry, small=(*entry.small, words))
