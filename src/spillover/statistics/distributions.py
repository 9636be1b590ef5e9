"""The normal and Student's t distribution; SciPy, which takes half a second to load, is loaded where one is needed."""

from typing import Any

from numpy.typing import ArrayLike


def ndtr(depth: ArrayLike) -> Any:
    """Return the normal distribution's share below ``depth``."""
    from scipy.special import ndtr

    return ndtr(depth)


def ndtri(share: ArrayLike) -> Any:
    """Return the depth below which the normal distribution has ``share``."""
    from scipy.special import ndtri

    return ndtri(share)


def stdtr(freedom: ArrayLike, depth: ArrayLike) -> Any:
    """Return the share of Student's t below ``depth``, with ``freedom`` degrees."""
    from scipy.special import stdtr

    return stdtr(freedom, depth)


def stdtrit(freedom: ArrayLike, share: ArrayLike) -> Any:
    """Return the depth below which Student's t of ``freedom`` degrees has ``share``."""
    from scipy.special import stdtrit

    return stdtrit(freedom, share)
