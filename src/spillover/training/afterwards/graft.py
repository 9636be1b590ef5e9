"""Grafting (Panigrahi et al. 2023, its start): only the weights that moved most keep their move."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from spillover.training.afterwards.change import Change, Shares

if TYPE_CHECKING:
    from spillover.training.afterwards.change import Deltas, Rule


class Graft(Change):
    """w = w_tuned where |w_tuned - w0| is among the largest of the whole model, else w0."""

    swept: ClassVar[str] = "top"
    kind: Literal["graft"] = "graft"
    top: Shares = (0.1,)
    """One or several shares of all weights; entries that tie with the last one are kept too."""

    def rule(self, deltas: Deltas) -> Rule:
        threshold = nth_largest_move(deltas, self.value)
        return lambda name, base, tuned: tuned.where((tuned - base).abs() >= threshold, base)


def nth_largest_move(deltas: Deltas, share: float) -> float:
    """Return the smallest |delta| of the top share, exactly, in two passes and little memory.

    The bits of non-negative floats, read as integers, are ordered like the floats: the first pass finds the upper 16
    bits of the wanted one by counting, the second the lower 16.
    """
    import torch

    def counts(upper: int | None) -> torch.Tensor:
        total = torch.zeros(1 << 16, dtype=torch.long)
        for delta in deltas():
            bits = delta.detach().float().abs().flatten().cpu().view(torch.int32)
            part = bits >> 16 if upper is None else bits[(bits >> 16) == upper] & 0xFFFF
            total += torch.bincount(part, minlength=1 << 16)
        return total

    def crossing(counted: torch.Tensor, wanted: int) -> tuple[int, int]:
        """Return the bin that holds the ``wanted``-th largest, and how many are wanted of it."""
        from_top = counted.flip(0).cumsum(0)
        place = int((from_top >= wanted).nonzero()[0])
        return len(counted) - 1 - place, wanted - int(from_top[place] - counted.flip(0)[place])

    counted = counts(None)
    wanted = max(1, int(share * int(counted.sum())))
    upper, wanted = crossing(counted, wanted)
    lower, _ = crossing(counts(upper), wanted)
    return float(torch.tensor([(upper << 16) | lower], dtype=torch.int32).view(torch.float32))
