"""SPIDER: weights move only where the task's gradient outranks their importance in the base (sheet spider)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from spillover.training.constraints.constraint import (
    Constraint,
    ConstraintSettings,
    Material,
    Report,
    Training,
    refuse_shards,
)
from spillover.training.drift.modules import layer_of

if TYPE_CHECKING:
    from torch import Tensor, nn

CONSTANT = 1e-6
"""A tensor whose standard deviation is below this share of its mean is constant; the rest is rounding."""


class Spider(ConstraintSettings):
    """Importance-guided selective updates (arXiv 2411.10928; the released code is the default)."""

    masks_weights: ClassVar[bool] = True
    needs_whole_tensors: ClassVar[bool] = True
    kind: Literal["spider"] = "spider"
    mask: Literal["soft", "hard"] = "soft"
    """``soft`` blends with the base's weights by relative importance; ``hard`` keeps or restores each weight."""
    accumulate: Literal["signed", "abs"] = "signed"
    """Whether gradients are summed with their signs, as released, or by size."""

    def build(self, material: Material) -> Constraint:
        return SpiderConstraint(self)


class SpiderConstraint(Constraint):
    """Per tensor: I = s(w0), A = sum of gradients, G = s(A), and after each step w = (1 - M) w0 + M w."""

    kept: ClassVar[tuple[str, ...]] = ("gradients", "_moved")
    recorded: ClassVar[tuple[str, ...]] = (*Constraint.recorded, "_steps")

    def __init__(self, settings: Spider) -> None:
        self._settings = settings
        self._weights: dict[str, nn.Parameter] = {}
        self.base: dict[str, Tensor] = {}
        self.importance: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}
        self._moved: dict[str, Tensor] = {}
        self._steps: list[dict[str, float]] = []
        self._gaps: dict[str, float] = {}

    def begin(self, training: Training) -> None:
        refuse_shards(training, "spider")
        self._weights = dict(training.weights)
        for name, weight in self._weights.items():
            self.base[name] = weight.detach().clone()
            self.importance[name] = score(self.base[name])
            self.gradients[name] = self.base[name].new_zeros(weight.shape)

    def after_step(self, step: int) -> bool:
        moved = full = changed = 0
        for name, weight in self._weights.items():
            if weight.grad is not None:
                self.gradients[name] += weight.grad.abs() if self._settings.accumulate == "abs" else weight.grad
            strength = score(self.gradients[name])
            mask = update_mask(self.importance[name], strength, soft=self._settings.mask == "soft")
            weight.data.copy_(self.base[name].lerp(weight.data, mask))
            open_to_move = mask > 0
            moved += int(open_to_move.sum())
            full += int((mask == 1).sum())
            if name in self._moved:
                changed += int((open_to_move ^ self._moved[name]).sum())
            self._moved[name] = open_to_move
            self._gaps[name] = float((strength - self.importance[name]).mean())
        count = sum(weight.numel() for weight in self._weights.values())
        shares = {"moving": moved / count, "free": full / count, "churn": changed / count if step else 0.0}
        self._steps.append(shares)
        return True

    def report(self) -> Report:
        squares = [float((weight.data - self.base[name]).square().sum()) for name, weight in self._weights.items()]
        layers: dict[str, list[float]] = {}
        for name, gap in self._gaps.items():
            layers.setdefault(layer_of(name), []).append(gap)
        return {
            "touched_count": sum(int((w.data != self.base[name]).sum()) for name, w in self._weights.items()),
            "moving_shares": [entry["moving"] for entry in self._steps],
            "free_shares": [entry["free"] for entry in self._steps],
            "mask_churn": [entry["churn"] for entry in self._steps],
            "distance": sum(squares) ** 0.5,
            "mean_strength_minus_importance": {name: sum(gaps) / len(gaps) for name, gaps in layers.items()},
        }


def score(values: Tensor) -> Tensor:
    """Return s(x) = sigmoid((|x| - mean|x|) / std|x|), per tensor, with the unbiased deviation (sheet spider, 2).

    All zeros give zeros. A constant tensor, or one of a single element, has no deviation: the released code gets NaN
    there and so never moves such a tensor; here all its elements count alike, 1/2.
    """
    size = values.abs()
    if not bool(size.any()):
        return size
    mean = size.mean()
    deviation = size.std() if size.numel() > 1 else mean.new_zeros(())
    if not bool(deviation > CONSTANT * mean):
        return size.new_full(size.shape, 0.5)
    return size.sub_(mean).div_(deviation).sigmoid_()


def update_mask(importance: Tensor, strength: Tensor, *, soft: bool) -> Tensor:
    """Return M: 0 where I >= G, else 1 (hard), or G / (I + G) over its mean and at most 1 (soft; sheet spider, 2)."""
    wins = importance < strength
    if not soft:
        return wins.to(importance.dtype)
    mask = (strength / (importance + strength)).where(wins, importance.new_zeros(()))
    if bool(wins.any()):
        mask.div_(mask.sum() / wins.sum()).clamp_(max=1)
    return mask
