"""The hooks through which a constraint takes part in training, and what it may see there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from spillover.errors import UserError
from spillover.settings import Settings
from spillover.training.sharding import is_sharded

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

    from spillover.training.rows import TrainingRow, TrainingRows

Report = dict[str, object]


@dataclass(frozen=True, slots=True)
class Material:
    """Rows that a constraint may need besides the variant's own."""

    general: Sequence[TrainingRow] = ()
    """General text, a row a paragraph."""
    replayed: Sequence[TrainingRows] = ()
    """Rows of the other tasks that a recipe replays, a set a task."""


@dataclass(frozen=True, slots=True)
class Training:
    """A run that is about to begin."""

    model: PreTrainedModel
    weights: Mapping[str, nn.Parameter]
    """The weights that are trained, tied ones once."""
    logits: Callable[[Sequence[TrainingRow], int], torch.Tensor]
    """Logits in float32 ``(target tokens, vocabulary)`` of rows that share their first tokens, so many as given."""
    batch_sizes: Sequence[int]
    """Rows of each step."""
    epoch_step_count: int
    """Steps of one pass over the rows."""
    seed: int

    @property
    def step_count(self) -> int:
        """How many steps there are."""
        return len(self.batch_sizes)


class Constraint:
    """What a recipe adds to the training loop; this one adds nothing.

    Hooks run in the order of their definition. State that a resumed run cannot work out again is named in ``kept``.
    """

    kept: ClassVar[tuple[str, ...]] = ()
    """Attributes, each a mapping from names to tensors, that a checkpoint holds."""
    recorded: ClassVar[tuple[str, ...]] = ("seconds",)
    """Attributes of plain data that a checkpoint holds too, so that `report` tells of the whole run."""
    seconds: float = 0.0
    """Taken by the hooks so far."""

    def begin(self, training: Training) -> None:
        """Remember what is needed of the base, whose weights the model still has; dropout is off."""

    def before_step(self, step: int) -> torch.Tensor | None:
        """Prepare step 0, 1, ...; return a loss to be added to the step's own."""
        return None

    def after_step(self, step: int) -> bool:
        """Correct the weights after the optimizer, gradients are still there; return False to stop training."""
        return True

    def end(self) -> None:
        """Correct the weights after the last step."""

    def report(self) -> Report:
        """Return plain facts of the run; ``touched_count`` is how many trained weights may differ from the base's."""
        return {}

    def memory_bytes(self) -> int:
        """Return the size of every tensor this constraint holds beside the model's own weights."""
        return sum(tensor.numel() * tensor.element_size() for tensor in _tensors(vars(self).values()))

    def kept_tensors(self) -> dict[str, torch.Tensor]:
        """Return what a checkpoint must hold, under flat names."""
        return {f"{name}/{key}": tensor for name in self.kept for key, tensor in getattr(self, name).items()}

    def recorded_facts(self) -> Report:
        """Return what a checkpoint must hold besides, as plain data."""
        return {name: getattr(self, name) for name in self.recorded}

    def restore(self, tensors: Mapping[str, torch.Tensor], facts: Report) -> None:
        """Take back what `kept_tensors` and `recorded_facts` returned, after `begin`."""
        for flat, tensor in tensors.items():
            name, _, key = flat.partition("/")
            getattr(self, name)[key] = tensor
        for name, fact in facts.items():
            setattr(self, name, fact)


class ConstraintSettings(Settings):
    """The settings of a constraint."""

    version: ClassVar[int] = 1
    """Raised when what it computes changes, so that variants trained with it before are trained anew."""
    masks_weights: ClassVar[bool] = False
    """Whether it decides weight by weight what may move, which has no meaning for an adapter's factors."""
    needs_whole_tensors: ClassVar[bool] = False
    """Whether it looks at a tensor as a whole, which a process has not where the model is split."""
    reads_general_text: ClassVar[bool] = False
    replays: ClassVar[tuple[str, ...]] = ()

    def identity(self, *, exclude: Set[str] = frozenset()) -> dict[str, Any]:
        """Return what the constraint decides; the first version goes without saying."""
        plain = super().identity(exclude=exclude)
        return plain if self.version == 1 else {**plain, "version": self.version}

    def fault(self, material: Material, batch_size: int) -> str | None:
        """Return why the constraint cannot do with these rows beside steps of ``batch_size``, if it cannot."""
        return None

    def build(self, material: Material) -> Constraint:
        """Return the constraint of one run."""
        raise NotImplementedError


def refuse_shards(training: Training, kind: str) -> None:
    """Raise UserError where a weight is one process's part of a tensor, whose statistics are not the tensor's."""
    for name, weight in training.weights.items():
        if is_sharded(weight):
            raise UserError(
                f"constraint {kind!r} needs whole tensors, {name} is sharded over processes; train it in one process "
                "or with replicated weights (DDP)"
            )


def _tensors(values: Iterable[object]) -> Iterator[torch.Tensor]:
    import torch

    for value in values:
        if isinstance(value, torch.nn.Parameter):
            continue
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, dict):
            yield from _tensors(value.values())
