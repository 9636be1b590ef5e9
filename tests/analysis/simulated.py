"""Made worlds whose true difference is known: how often intervals hold it, and how often tests find what is not there.

One world is one study: a task is a number of items, or of sources of them, and a draw of how each changes between -1
and 1. Every world is judged by today's intervals and by those of earlier versions (`tests.analysis.former`). Few items
change in few ways, so that what a pattern tells is computed once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtri

from spillover.records import FloatArray, MetricCard
from spillover.statistics.cells import ResampledScore
from spillover.statistics.gaffke import Confidence, combined
from spillover.statistics.inference import Inference, infer, told, weighted_sum
from tests.analysis.former import Former, Part, former
from tests.analysis.made_scores import share

ACCURACY = MetricCard("accuracy", share, "share")
MARGIN = 0.02
RESAMPLE_COUNT = 2000
NO_REPLICATES = np.zeros(1)
"""Means of bounded items need none."""

Draw = Callable[[np.random.Generator, int], FloatArray]
"""A generator and a number of worlds to the changes of all items, ``(worlds, n)``."""


@dataclass(frozen=True)
class Task:
    """What is tested, and the sizes of the sources that its items share; empty where every item has its own."""

    draw: Draw
    sizes: tuple[int, ...] = ()


@dataclass
class Found:
    """What one procedure said, over all worlds; where it had no interval, it found nothing."""

    lows: list[float] = field(default_factory=list)
    """Not a number without an interval."""
    highs: list[float] = field(default_factory=list)
    p_values: list[float] = field(default_factory=list)
    nothing_lost: list[bool] = field(default_factory=list)

    def add(self, low: float | None, high: float | None, p_value: float | None, nothing_lost: bool | None) -> None:
        self.lows.append(np.nan if low is None else low)
        self.highs.append(np.nan if high is None else high)
        self.p_values.append(1.0 if p_value is None else p_value)
        self.nothing_lost.append(bool(nothing_lost))

    @property
    def widths(self) -> FloatArray:
        return np.array(self.highs) - np.array(self.lows)

    def covered(self, truth: float) -> float:
        """Return the share of the intervals that hold the truth."""
        held = (np.array(self.lows) <= truth) & (truth <= np.array(self.highs))
        return float(held[np.isfinite(self.widths)].mean())

    @property
    def significant(self) -> float:
        return float(np.mean(np.array(self.p_values) < 0.05))

    @property
    def kept(self) -> float:
        return float(np.mean(self.nothing_lost))

    @property
    def without(self) -> float:
        return float(np.isnan(self.widths).mean())


@dataclass
class Outcome:
    """Today's procedure and the former one in the same worlds."""

    today: Found = field(default_factory=Found)
    former: Found = field(default_factory=Found)

    @property
    def mean_widths(self) -> tuple[float, float]:
        """Of today's intervals and of the former ones, over the worlds in which there is one today."""
        given = np.isfinite(self.today.widths)
        return float(self.today.widths[given].mean()), float(self.former.widths[given].mean())

    @property
    def width_ratio(self) -> float:
        today, before = self.mean_widths
        return today / before


def right_or_wrong(count: int, gained: float, lost: float) -> Task:
    """Return items of which the variant alone, or the base alone, is right with these probabilities."""

    def draw(generator: np.random.Generator, worlds: int) -> FloatArray:
        kind = generator.random((worlds, count))
        return (kind < gained).astype(float) - ((kind >= gained) & (kind < gained + lost))

    return Task(draw)


def fallen(count: int, rate: float = 0.06, rise: float = 0.0) -> Task:
    """Return scores of which a few fall from a half to nothing while all others move a little."""

    def draw(generator: np.random.Generator, worlds: int) -> FloatArray:
        moved = generator.normal(rise, 0.02, (worlds, count)).clip(-0.5, 0.5)
        return np.where(generator.random((worlds, count)) < rate, -0.5, moved)

    return Task(draw)


def text(count: int) -> Task:
    """Return changes of scores such as ROUGE-L, skewed and often zero, of models that write two fifths otherwise.

    Scores deviate by 0.21 and correlate by 0.6, as `analysis.power` takes them to.
    """

    def draw(generator: np.random.Generator, worlds: int) -> FloatArray:
        base, own = generator.beta(0.8, 2.4, (2, worlds, count))
        return np.where(generator.random((worlds, count)) < 0.4, own - base, 0.0)

    return Task(draw)


def close_text(count: int) -> Task:
    """Return changes of the scores of models that write nearly the same: they deviate by 0.06."""

    def draw(generator: np.random.Generator, worlds: int) -> FloatArray:
        return np.asarray(0.5 * (generator.beta(1, 6, (worlds, count)) - 1 / 7))

    return Task(draw)


def sources(sizes: Sequence[int], deviation: float = 0.1) -> Task:
    """Return items that move with their source, and by as much on their own; nothing is lost in the mean."""

    def draw(generator: np.random.Generator, worlds: int) -> FloatArray:
        shared = np.repeat(generator.normal(0, deviation, (worlds, len(sizes))), sizes, axis=1)
        return np.asarray((shared + generator.normal(0, deviation, shared.shape)).clip(-1, 1))

    return Task(draw, tuple(sizes))


def lost_sources(sizes: Sequence[int], rate: float) -> Task:
    """Return items of which whole sources are lost."""

    def draw(generator: np.random.Generator, worlds: int) -> FloatArray:
        return np.repeat(-1.0 * (generator.random((worlds, len(sizes))) < rate), sizes, axis=1)

    return Task(draw, tuple(sizes))


def simulate(tasks: Sequence[Task], *, count: int, margin: float = MARGIN, seed: int = 0) -> Outcome:
    """Try so many worlds of a study of these tasks, each of one cell."""
    generator = np.random.default_rng(seed)
    drawn = [task.draw(generator, count) for task in tasks]
    judges = [
        _Judge(task, values.shape[1], 1 / len(tasks), seed + turn) for turn, (task, values) in _turns(tasks, drawn)
    ]
    known: dict[tuple[bytes, ...], tuple[Inference, Former]] = {}
    outcome = Outcome()
    for world in range(count):
        values = [own[world] for own in drawn]
        pattern = tuple(judge.pattern(own) for judge, own in zip(judges, values, strict=True))
        if pattern not in known:
            known[pattern] = _judged(judges, values, margin)
        today, before = known[pattern]
        outcome.today.add(today.low, today.high, today.p_value, today.nothing_lost)
        outcome.former.add(before.low, before.high, before.p_value, before.nothing_lost)
    return outcome


def _turns(tasks: Sequence[Task], drawn: Sequence[FloatArray]) -> list[tuple[int, tuple[Task, FloatArray]]]:
    return list(enumerate(zip(tasks, drawn, strict=True)))


def scored(values: FloatArray, units: FloatArray | None = None) -> tuple[ResampledScore, ResampledScore]:
    """Return scores between 0 and 1, of a variant and of the base, that differ by ``values``."""
    base = (values < 0).astype(float)
    own_units = np.arange(len(values)) if units is None else units.astype(np.intp)

    def score(of_items: FloatArray) -> ResampledScore:
        statistics = np.column_stack([of_items, np.ones(len(of_items))])
        return ResampledScore(float(of_items.mean()), NO_REPLICATES, (), statistics, own_units)

    return score(base + values), score(base)


def _judged(judges: Sequence["_Judge"], values: Sequence[FloatArray], margin: float) -> tuple[Inference, Former]:
    parts = [judge.today(own) for judge, own in zip(judges, values, strict=True)]
    given = [part for part in parts if part is not None]
    if len(given) == len(parts):
        today = told(combined(given, [1.0] * len(given)), "", ACCURACY, level=0.95, margin=margin)
    else:
        pairs = [[judge.scored(own)] for judge, own in zip(judges, values, strict=True)]
        today = infer(pairs, ACCURACY, level=0.95, margin=margin)
    return today, former([judge.former(own) for judge, own in zip(judges, values, strict=True)], margin=margin)


class _Judge:
    """What a task's changes tell, once for each pattern of them."""

    def __init__(self, task: Task, item_count: int, weight: float, seed: int) -> None:
        sizes = np.array(task.sizes or np.ones(item_count, dtype=int))
        self.units = np.repeat(np.arange(len(sizes)), sizes) if task.sizes else np.arange(item_count)
        self.weight, self.sizes, self.is_grouped = weight, sizes, bool(task.sizes)
        draws = np.random.default_rng(seed).integers(0, len(sizes), (RESAMPLE_COUNT, len(sizes)))
        self.counts = np.stack([np.bincount(row, minlength=len(sizes)) for row in draws]).astype(np.float32)
        self._today: dict[bytes, Confidence | None] = {}
        self._former: dict[bytes, Part] = {}

    def pattern(self, values: FloatArray) -> bytes:
        return (values if self.is_grouped else np.sort(values)).tobytes()

    def scored(self, values: FloatArray) -> tuple[ResampledScore, ResampledScore]:
        return scored(values, self.units)

    def today(self, values: FloatArray) -> Confidence | None:
        pattern = self.pattern(values)
        if pattern not in self._today:
            own, base = self.scored(values)
            self._today[pattern] = weighted_sum([[(self.weight, own), (-self.weight, base)]], unit="share")[0]
        return self._today[pattern]

    def former(self, values: FloatArray) -> Part:
        pattern = self.pattern(values)
        if pattern not in self._former:
            totals = np.bincount(self.units, weights=values)
            resampled = self.counts @ totals.astype(np.float32) / (self.counts @ self.sizes.astype(np.float32))
            self._former[pattern] = Part(
                totals / self.sizes,
                self.weight * self.sizes / self.sizes.sum(),
                self.weight * resampled.astype(np.float64),
            )
        return self._former[pattern]


def error_of(share_expected: float, count: int) -> float:
    """Return the standard error of a share over so many worlds."""
    return float(np.sqrt(share_expected * (1 - share_expected) / count))


def allowance(share_expected: float, count: int) -> float:
    """Return how far a share over so many worlds strays by chance, in one of a hundred simulations."""
    return float(ndtri(0.99)) * error_of(share_expected, count)


HEADER = (
    f"\n{'today | former':46} {'truth':>6} {'covered':>13} {'nothing lost':>13} {'p < .05':>13} {'mean width':>13} "
    f"{'ratio':>5} {'none':>5}"
)


def row(name: str, truth: float, outcome: Outcome) -> str:
    """Return a line of the printed table: today's figure, and the former one's after the bar."""
    now, before, widths = outcome.today, outcome.former, outcome.mean_widths
    return (
        f"{name:46} {truth:+6.3f} {now.covered(truth):6.3f}|{before.covered(truth):6.3f} {now.kept:6.3f}|"
        f"{before.kept:6.3f} {now.significant:6.3f}|{before.significant:6.3f} {widths[0]:6.3f}|{widths[1]:6.3f} "
        f"{outcome.width_ratio:5.2f} {now.without:5.2f}"
    )
