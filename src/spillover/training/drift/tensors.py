"""The tensors of a saved model or of one in memory, each read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


class Tensors:
    """A model's tensors by name, each read when it is asked for.

    Args:
        source: Where they come from, for messages.
        read: Name to a function that returns the tensor.
    """

    def __init__(self, source: str, read: Mapping[str, Callable[[], Tensor]]) -> None:
        self.source = source
        self._read = read

    @property
    def names(self) -> tuple[str, ...]:
        """Of all tensors."""
        return tuple(self._read)

    def __getitem__(self, name: str) -> Tensor:
        """Return a tensor as it is kept."""
        return self._read[name]()

    @classmethod
    def of_folder(cls, folder: Path) -> Tensors:
        """Return the tensors saved in a folder."""
        read: dict[str, Callable[[], Tensor]] = {}
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as opened:
                read.update({name: partial(_saved, path, name) for name in opened.keys()})  # noqa: SIM118
        return cls(str(folder), read)

    @classmethod
    def of_model(cls, model: PreTrainedModel) -> Tensors:
        """Return the tensors a model would save: tied ones once, under the name that is saved."""
        tied = set(model.all_tied_weights_keys)
        state = {name: tensor for name, tensor in model.state_dict().items() if name not in tied}
        return cls("the model", {name: partial(_itself, tensor) for name, tensor in state.items()})

    @classmethod
    def of_loaded(cls, model: PreTrainedModel, folder: Path) -> Tensors:
        """Return the tensors of a model in memory, from its folder where that holds the same under the same names.

        The model then need not be kept.
        """
        held, saved = cls.of_model(model), cls.of_folder(folder)
        if set(held.names) <= set(saved.names) and all(_is_same(held[name], saved[name]) for name in held.names):
            return cls(saved.source, {name: saved._read[name] for name in held.names})
        return held


def _is_same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool((one == other).all())


def _saved(path: Path, name: str) -> Tensor:
    with safe_open(path, framework="pt") as opened:
        tensor: Tensor = opened.get_tensor(name)
    return tensor


def _itself(tensor: Tensor) -> Tensor:
    return tensor


def same_numbers(one: Tensors, other: Tensors) -> bool:
    """Whether all tensors that both have hold the same numbers, whatever their type."""
    return all(bool((one[name].float() == other[name].float()).all()) for name in set(one.names) & set(other.names))
