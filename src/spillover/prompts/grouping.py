"""Which prompts share enough of their beginning to be computed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spillover.prompts.encoding import TokenIds


@dataclass(slots=True)
class _Interval:
    """Neighbours in lexicographic order that share their first ``shared`` tokens, and their best division so far."""

    shared: int
    start: int
    groups: list[tuple[int, int]]
    saved: int

    def add(self, other: _Interval) -> None:
        self.groups = [*self.groups, *other.groups]
        self.saved += other.saved

    def close(self, stop: int, group_cost: int) -> None:
        """Make it one group where that saves at least as much as its best division."""
        together = self.shared * (stop - self.start - 1) - group_cost
        if together >= self.saved:
            self.groups, self.saved = [(self.start, stop)], together


def prefix_groups(prompts: Sequence[TokenIds], *, group_cost: int) -> list[list[int]]:
    """Divide prompts into groups so that computing each group's common prefix once saves the most tokens.

    In lexicographic order, prompts that share a beginning are neighbours, so requests of several tasks, shuffled into
    one list, fall apart into theirs, and a task's own demonstrations are shared by all its prompts. The division is the
    best one along the tree of shared beginnings; a pure function of the prompts.

    Args:
        prompts: Token ids of whole prompts, in any order.
        group_cost: What one more group costs, in tokens: passes that are not full.

    Returns:
        Indices into ``prompts``, group by group.
    """
    order = sorted(range(len(prompts)), key=lambda index: prompts[index])
    open_intervals: list[_Interval] = []
    done = _Interval(0, 0, [], 0)
    for place, index in enumerate(order):
        last = place + 1 == len(order)
        shared_next = -1 if last else _shared(prompts[index], prompts[order[place + 1]])
        done = _Interval(len(prompts[index]), place, [(place, place + 1)], -group_cost)
        while open_intervals and open_intervals[-1].shared > shared_next:
            interval = open_intervals.pop()
            interval.add(done)
            interval.close(place + 1, group_cost)
            done = interval
        if open_intervals and open_intervals[-1].shared == shared_next:
            open_intervals[-1].add(done)
        elif not last:
            open_intervals.append(_Interval(shared_next, done.start, done.groups, done.saved))
    return [order[start:stop] for start, stop in done.groups]


def _shared(left: TokenIds, right: TokenIds) -> int:
    """Return how many first tokens two prompts share, leaving each at least one token of its own."""
    most = min(len(left), len(right)) - 1
    return next((at for at in range(most) if left[at] != right[at]), most)
