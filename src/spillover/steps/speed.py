"""What work costs on a machine, in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of a piece of work."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall_seconds + other.wall_seconds, self.cpu_seconds + other.cpu_seconds)

    def __mul__(self, count: float) -> Cost:
        return Cost(self.wall_seconds * count, self.cpu_seconds * count)


@dataclass(frozen=True, slots=True)
class Speed:
    """What work costs with one base on one machine."""

    asked_token: Cost
    """Of a prompt or an answer."""
    decoded_token: Cost
    """Generated, beyond its prompt."""
    trained_token: Cost
    """Forward and backward, with its part of an optimizer step."""
    loading: Cost
    """Of the model from disk, once."""
