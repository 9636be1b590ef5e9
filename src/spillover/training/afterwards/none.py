"""Trained weights as they are."""

from collections.abc import Sequence
from typing import Literal

from spillover.training.afterwards.change import Change


class Unchanged(Change):
    """Nothing is done afterwards."""

    kind: Literal["none"] = "none"

    def points(self) -> Sequence["Unchanged"]:
        return []
