"""What the differences of a study to its base say, row by row and task by task, adjusted over all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from spillover.analysis.idle import IdleCell, floor_of
from spillover.records import MetricCard, Relation, StudyResults, TaskCard, VariantCard
from spillover.statistics.cells import ScoreKey, Scores
from spillover.statistics.inference import unit_margin
from spillover.statistics.means import Mean, mean_difference, primary_cells, tasks_by_kind
from spillover.statistics.multiplicity import holm
from spillover.statistics.seeds import demonstration_scatter, recipes_of

SIGNIFICANT = 0.05


class Change(StrEnum):
    """What is known of a difference."""

    GAINED = "gained"
    LOST = "lost"
    KEPT = "nothing lost"
    UNCLEAR = "no clear change"
    IDLE = "cannot lose here"


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A mean difference to the base over the cells of one relation and kind of metric, or of one task of them."""

    relation: Relation
    metric: MetricCard
    """Of the cells, or another of their kind."""
    tasks: tuple[str, ...]
    cell_count: int
    item_count: int
    """Distinct examples."""
    mean: Mean
    can_lose: Mean | None
    """Over the cells that could have shown a loss, and where the variant's own task is not known, without the task that
    gained most; None without such a cell."""
    is_at_floor: bool
    """Whether what was gained is no more than what knowing nothing scores."""
    adjusted_p_value: float | None = None
    """Of no difference, two-sided, after Holm over all readings of the study."""

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is."""
        return 1 if self.metric.higher_is_better else -1

    @property
    def is_significant(self) -> bool:
        """Whether the difference is one after adjustment."""
        return self.adjusted_p_value is not None and self.adjusted_p_value < SIGNIFICANT

    @property
    def excludes_zero(self) -> bool:
        """Whether the shown interval, which nothing adjusts, excludes zero."""
        low, high = self.mean.found.low, self.mean.found.high
        return low is not None and high is not None and not low <= 0 <= high

    @property
    def looks_lost(self) -> bool:
        """Whether it fell by more than its interval, which nothing adjusts, allows for, or without any interval."""
        low, high = self.mean.found.low, self.mean.found.high
        fell = self.sign * self.mean.difference < 0
        return fell and (low is None or high is None or not low <= 0 <= high)

    @property
    def change(self) -> Change:
        """What is known: gained and lost after adjustment, nothing lost by the test of that reading alone.

        What looks lost is never said to have lost nothing, whichever cells could have shown it.
        """
        gain = self.sign * self.mean.difference
        if self.is_significant and gain < 0:
            return Change.LOST
        if self.is_significant and gain > 0 and not self.is_at_floor:
            return Change.GAINED
        if self.looks_lost:
            return Change.UNCLEAR
        if self.can_lose is None:
            return Change.IDLE
        return Change.KEPT if self.can_lose.found.nothing_lost else Change.UNCLEAR

    @property
    def largest_loss(self) -> float | None:
        """The largest loss that is not excluded where one could have been shown, in the metric's unit."""
        return None if self.can_lose is None else self.can_lose.found.largest_loss

    def excludes_loss_of(self, margin: float) -> bool:
        """Return whether a loss of ``margin`` shares, or as much in the metric's unit, is excluded."""
        return self.largest_loss is not None and self.largest_loss < margin * unit_margin(self.metric)


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is judged: a variant, or a recipe with several training seeds."""

    name: str
    cards: tuple[VariantCard, ...]
    rows: tuple[Reading, ...]
    """One a relation and kind."""
    tasks: tuple[Reading, ...]
    """One a task."""


def subjects(results: StudyResults, scores: Scores, idle: Sequence[IdleCell], *, level: float) -> tuple[Subject, ...]:
    """Return what is judged, with p-values adjusted over every row and task of every subject.

    Rows and tasks are one family: a light may rest on either. A row of a single task is its task's reading and counts
    once.
    """
    maker = _Maker(results, scores, frozenset(entry.cell for entry in idle), level)
    found = [maker.subject(cards) for cards in recipes_of(results)]
    entries = [entry for one in found for entry in (*one.rows, *one.tasks)]
    distinct = list({id(entry): entry for entry in entries}.values())
    tested = [entry for entry in distinct if entry.mean.found.p_value is not None]
    p_values = holm(np.array([entry.mean.found.p_value for entry in tested], dtype=np.float64))
    adjusted = {
        id(entry): replace(entry, adjusted_p_value=float(value)) for entry, value in zip(tested, p_values, strict=True)
    }
    return tuple(
        replace(
            one,
            rows=tuple(adjusted.get(id(entry), entry) for entry in one.rows),
            tasks=tuple(adjusted.get(id(entry), entry) for entry in one.tasks),
        )
        for one in found
    )


def subject_of(results: StudyResults, scores: Scores, card: VariantCard, *, level: float) -> Subject:
    """Return one variant by itself, with nothing adjusted."""
    return _Maker(results, scores, frozenset(), level).subject([card])


@dataclass(frozen=True, slots=True)
class _Maker:
    results: StudyResults
    scores: Scores
    idle: frozenset[object]
    level: float

    def subject(self, cards: Sequence[VariantCard]) -> Subject:
        rows: list[Reading] = []
        tasks: list[Reading] = []
        for (relation, _), (metric, members) in tasks_by_kind(self.results, cards[0]).items():
            own = {
                task.name: reading
                for task in members
                if (reading := self._reading(relation, metric, [task], cards)) is not None
            }
            if not own:
                continue
            tasks += own.values()
            whole = next(iter(own.values())) if len(own) == 1 else self._reading(relation, metric, members, cards, own)
            if whole is not None:
                rows.append(whole)
        card = cards[0]
        name = card.id if len(cards) == 1 else f"{card.name}/{card.trained_on}/{card.size}"
        return Subject(name, tuple(cards), tuple(rows), tuple(tasks))

    def _reading(
        self,
        relation: Relation,
        metric: MetricCard,
        tasks: Sequence[TaskCard],
        cards: Sequence[VariantCard],
        parts: Mapping[str, Reading] | None = None,
    ) -> Reading | None:
        keys = [primary_cells(self.scores, card.id, tasks) for card in cards]
        if not keys[0]:
            return None
        able = [[key for key in own if key.cell not in self.idle] for own in keys]
        if relation is Relation.UNSTATED:
            # Any task may be its own, and its gain would hide what the others lost.
            best = max(parts, key=lambda name: self._gain(parts[name])) if parts else ""
            able = [[key for key in own if key.cell.tested_on != best] for own in able]
        whole = self._mean(keys, metric)
        is_whole = [len(own) for own in able] == [len(own) for own in keys]
        can_lose = whole if is_whole else self._mean(able, metric) if able[0] else None
        items = {(key.cell.tested_on, name) for key in keys[0] for name in self.scores[key].example_ids}
        names = tuple(dict.fromkeys(key.cell.tested_on for key in keys[0]))
        is_at_floor = self._is_at_floor(keys, tasks, metric)
        return Reading(relation, metric, names, len(keys[0]), len(items), whole, can_lose, is_at_floor)

    def _mean(self, keys: Sequence[Sequence[ScoreKey]], metric: MetricCard) -> Mean:
        scatter = demonstration_scatter(keys, self.scores) if len(keys) > 1 else []
        return mean_difference(keys, self.scores, metric, level=self.level, margin=self.results.margin, scatter=scatter)

    def _gain(self, reading: Reading) -> float:
        return reading.sign * reading.mean.difference

    def _is_at_floor(self, keys: Sequence[Sequence[ScoreKey]], tasks: Sequence[TaskCard], metric: MetricCard) -> bool:
        """Return whether nothing is gained over the cells in which the variant scores more than knowing nothing."""
        cards = {task.name: task for task in tasks}
        above = []
        for index, key in enumerate(keys[0]):
            floor = floor_of(cards[key.cell.tested_on], key.metric, self.results.metrics[key.metric])
            value = sum(self.scores[own[index]].value for own in keys) / len(keys)
            if floor is None or value > floor:
                above.append(index)
        if len(above) == len(keys[0]):
            return False
        if not above:
            return True
        gained = self._mean([[own[index] for index in above] for own in keys], metric)
        sign = 1 if metric.higher_is_better else -1
        p_value = gained.found.p_value
        return p_value is None or p_value >= SIGNIFICANT or sign * gained.difference <= 0
