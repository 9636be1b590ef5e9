"""Which prompts share enough of their beginning to be computed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spillover.prompts.encoding import TokenIds

SCORING_GROUP_COST = 64
"""Tokens: what a group of prompts costs besides its own, since its last pass is not full."""
DECODING_GROUP_COST = 16
"""Tokens for every decoding step: a step of few rows costs about as much as one of this many rows more."""


@dataclass(frozen=True, slots=True)
class _Group:
    shared: int
    members: list[int]

    def worth(self, group_cost: int) -> int:
        """Tokens that are saved by computing its prefix once."""
        return self.shared * (len(self.members) - 1) - group_cost


@dataclass(slots=True)
class _Interval:
    """Neighbours in lexicographic order that share their first ``shared`` tokens, divided so far."""

    shared: int
    groups: list[_Group]

    def close(self, group_cost: int) -> None:
        """Join the groups that save more together than alone; one that shares much more of its own stays apart."""
        joining: list[_Group] = []
        apart: list[_Group] = []
        for group in self.groups:
            gains = self.shared * len(group.members) > group.worth(group_cost)
            (joining if gains else apart).append(group)
        together = _Group(self.shared, [index for group in joining for index in group.members])
        if joining and together.worth(group_cost) >= sum(group.worth(group_cost) for group in joining):
            self.groups = [*apart, together]


def prefix_groups(prompts: Sequence[TokenIds], *, group_cost: int) -> list[list[int]]:
    """Divide prompts into groups whose common prefixes, each computed once, save many tokens.

    In lexicographic order, prompts that share a beginning are neighbours, so requests of several tasks, shuffled into
    one list, fall apart into theirs, and a task's own demonstrations are shared by all its prompts. Groups are joined
    from the longest shared beginnings to the shortest, wherever that saves tokens; a pure function of the prompts.

    Args:
        prompts: Token ids of whole prompts, in any order.
        group_cost: What one more group costs, in tokens: passes that are not full.

    Returns:
        Indices into ``prompts``, group by group.
    """
    order = sorted(range(len(prompts)), key=lambda index: prompts[index])
    open_intervals: list[_Interval] = []
    done = _Interval(0, [])
    for place, index in enumerate(order):
        last = place + 1 == len(order)
        shared_next = -1 if last else _shared(prompts[index], prompts[order[place + 1]])
        done = _Interval(len(prompts[index]), [_Group(len(prompts[index]), [index])])
        while open_intervals and open_intervals[-1].shared > shared_next:
            interval = open_intervals.pop()
            interval.groups += done.groups
            interval.close(group_cost)
            done = interval
        if open_intervals and open_intervals[-1].shared == shared_next:
            open_intervals[-1].groups += done.groups
        elif not last:
            open_intervals.append(_Interval(shared_next, done.groups))
    return [group.members for group in done.groups]


def _shared(left: TokenIds, right: TokenIds) -> int:
    """Return how many first tokens two prompts share, leaving each at least one token of its own."""
    most = min(len(left), len(right)) - 1
    return next((at for at in range(most) if left[at] != right[at]), most)
