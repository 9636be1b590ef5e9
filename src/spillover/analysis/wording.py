"""How numbers are written: differences with their sign, intervals, powers of ten, counts and lists of names."""

from collections.abc import Iterable, Mapping, Sequence

HUGE = 1e6
"""From here on numbers are written with their power of ten."""

NAMED_COUNT = 3
"""Names that a sentence gives; the tables have all."""


def signed(value: float, digits: int = 2) -> str:
    """Write a difference with its sign: ``+0.21``, ``−0.05``, ``±0.00`` for what rounds to zero."""
    text = _number(value, digits)
    if float(text) == 0:
        return f"±{text}"
    return f"{'+' if value > 0 else '−'}{text}"


def interval_words(low: float | None, high: float | None) -> str:
    """Write an interval: ``[−0.09, −0.01]``; with more digits where two would round an end to zero."""
    if low is None or high is None:
        return "(no interval)"
    digits = _digits(low, high)
    return f"[{plain(low, digits)}, {plain(high, digits)}]"


def difference_words(value: float, low: float | None, high: float | None) -> str:
    """Write a difference with as many digits as its interval."""
    return signed(value, 2 if low is None or high is None else _digits(low, high))


def _digits(*values: float) -> int:
    nearest = min((abs(value) for value in values if value != 0), default=1.0)
    return next((count for count in (2, 3, 4, 5) if round(nearest, count) > 0), 6)


def plain(value: float, digits: int = 2) -> str:
    """Write a number with a true minus sign."""
    text = _number(value, digits)
    return f"−{text}" if value < 0 and float(text) != 0 else text


def _number(value: float, digits: int) -> str:
    """Write a size; of what no score should be, such as a diverged perplexity, the power of ten is enough."""
    return f"{abs(value):.{digits}f}" if abs(value) < HUGE else f"{abs(value):.1e}"


def named(names: Sequence[str], *, most: int = NAMED_COUNT) -> str:
    """Write names, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def scientific(value: float) -> str:
    """Write ``4.90 × 10⁻⁴``, and a number that is easily read as it is, ``0.304``."""
    if value == 0 or 0.1 <= abs(value) < 1000:
        return f"{value:.3g}".replace("-", "−")
    digits, exponent = f"{value:.2e}".split("e")
    return f"{digits.replace('-', '−')} × 10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def enumerated(items: Iterable[object]) -> str:
    """Write ``a``, ``a and b`` or ``a, b and c``."""
    *rest, last = [str(item) for item in items]
    return f"{', '.join(rest)} and {last}" if rest else last


def counts(items: Mapping[str, int]) -> str:
    """Write reasons and their counts, those that occurred: ``2 equals a demonstration``."""
    return "; ".join(f"{count:,} {reason}" for reason, count in items.items() if count) or "none"
