"""What makes a variant's weights, and how they are kept and loaded."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spillover.errors import SpilloverError, UserError
from spillover.models.fingerprint import weights_fingerprint
from spillover.models.spec import ResolvedModel
from spillover.steps.outside import changed_model
from spillover.steps.step import Step
from spillover.store.store import Store
from spillover.tasks.relation import TrainedOn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WEIGHTS, ADAPTER = "weights", "adapter"
"""Folders of a variant: a whole model, or an adapter of its base."""


class Tested(Protocol):
    """A task, as far as it decides whether a variant can answer it."""

    @property
    def name(self) -> str:
        """By which a study tests on it."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The answer set that holds for every item; empty where there is none."""


class Variant(Step):
    """A step that makes a variant: weights, what they were trained on, and what the model can read."""

    if TYPE_CHECKING:  # fields of some, properties of others: a property here would be a field's default

        @property
        @abstractmethod
        def name(self) -> str:
            """The variant's name in the study; not part of the key."""

        @property
        @abstractmethod
        def variant(self) -> str:
            """The variant's id."""

        @property
        @abstractmethod
        def base(self) -> ResolvedModel:
            """The model that it was made of."""

        @property
        @abstractmethod
        def trained_on(self) -> TrainedOn | None:
            """The task that was trained on; None where it is not stated."""

        @property
        @abstractmethod
        def size(self) -> int:
            """Training rows; 0 where that is not known."""

        @property
        @abstractmethod
        def seed(self) -> int:
            """Of the training."""

        @property
        @abstractmethod
        def saves_adapter(self) -> bool:
            """Whether it is kept as an adapter beside its base."""

    @abstractmethod
    def recipe_card(self) -> dict[str, Any]:
        """Return `VariantCard.recipe`."""

    @property
    def context_length(self) -> int:
        """Tokens that it can read."""
        return self.base.context_length

    @property
    def tokenizer_path(self) -> Path:
        """The folder of the tokenizer that came with it: its end token ends what the model writes."""
        return self.base.path

    @property
    def stands_alone(self) -> bool:
        """Whether it is a whole model whose settings may differ from its base's."""
        return False

    @property
    def is_of_base(self) -> bool:
        """Whether it is the base with other weights, and not a model of another kind beside it."""
        return True

    def cannot_answer(self, task: Tested) -> str | None:
        """Return why it cannot be asked a task, in words; None where it can."""
        return None

    def outside_fault(self, cache: Path) -> str | None:
        return changed_model(self.base, cache)

    def weights_folder(self, store: Store) -> Path:
        """Return the folder of the finished weights or adapter."""
        return store.folder(self) / Path(self._weight_files(store)[0]).parent

    def weights(self, store: Store) -> Path:
        """Return the folder of the finished weights or adapter after checking the digests of its files.

        That reads all of them: whoever loads them does it, once.
        """
        paths = [store.file(self, name) for name in self._weight_files(store)]
        return paths[0].parent

    def _weight_files(self, store: Store) -> list[str]:
        names = store.manifest(self)["files"]
        kept = [name for name in names if Path(name).parts[0] in (WEIGHTS, ADAPTER)]
        if not kept:
            raise UserError(f"{store.folder(self)} holds no weights; remove it and run again")
        return kept

    def whole_model(self, store: Store) -> PreTrainedModel:
        """Return the model in float32, an adapter merged into its base."""
        from spillover.models.adapters import load_merged
        from spillover.models.load import load_model

        path = self.weights(store)
        if self.saves_adapter:
            return load_merged(self.base.path, path)
        return load_model(path, dtype="float32", device="cpu")


def save_whole(model: PreTrainedModel, base: ResolvedModel, folder: Path) -> None:
    """Write a whole model with its base's tokenizer."""
    from spillover.models.tokenizer import load_tokenizer, quiet_transformers

    with quiet_transformers():
        model.save_pretrained(folder / WEIGHTS)
    load_tokenizer(base.path).save_pretrained(folder / WEIGHTS)


def changed_fingerprint(step: Variant, folder: Path, when: str) -> str:
    """Return what a variant's weights are; those of its base are an error."""
    from spillover.models.adapters import adapter_fingerprint
    from spillover.training.drift.tensors import Tensors, same_numbers

    if step.saves_adapter:
        fingerprint, unchanged = adapter_fingerprint(folder / ADAPTER)
    else:
        fingerprint = weights_fingerprint(folder / WEIGHTS)
        unchanged = same_numbers(Tensors.of_folder(folder / WEIGHTS), Tensors.of_folder(step.base.path))
    if unchanged:
        raise SpilloverError(f"{step.variant} has the weights of its base {when}")
    return fingerprint


def saved_weight_count(parameters: Any, shapes: Mapping[str, tuple[int, ...]], *, is_adapter: bool) -> int:
    """Return how many weights a variant writes: its adapter's, or all."""
    from spillover.training.parameters.full import Full

    return int((parameters if is_adapter else Full()).saved_weight_count(shapes))
