"""How numbers are written: differences with their sign, intervals, lists of names."""

from collections.abc import Sequence

NAMED_COUNT = 3
"""Names that a sentence gives; the tables have all."""


def signed(value: float, digits: int = 2) -> str:
    """Write a difference with its sign: ``+0.21``, ``−0.05``, ``±0.00`` for what rounds to zero."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return f"±{text}"
    return f"{'+' if value > 0 else '−'}{text}"


def interval_words(low: float | None, high: float | None) -> str:
    """Write an interval: ``[−0.09, −0.01]``; with more digits where two would round an end to zero."""
    if low is None or high is None:
        return "(no interval)"
    nearest = min((abs(value) for value in (low, high) if value != 0), default=1.0)
    digits = next((count for count in (2, 3, 4, 5) if round(nearest, count) > 0), 6)
    return f"[{plain(low, digits)}, {plain(high, digits)}]"


def plain(value: float, digits: int = 2) -> str:
    """Write a number with a true minus sign."""
    text = f"{abs(value):.{digits}f}"
    return f"−{text}" if value < 0 and float(text) != 0 else text


def named(names: Sequence[str], *, most: int = NAMED_COUNT) -> str:
    """Write names, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
