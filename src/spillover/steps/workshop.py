"""What steps share while they are computed: rows, token ids and the loaded model, kept in memory between steps."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from spillover.models.memory import GPU_SHARE
from spillover.prompts.encoding import Encoder
from spillover.store.store import Store

if TYPE_CHECKING:
    from spillover.models.loaded import LoadedModel
    from spillover.models.precision import Precision
    from spillover.training.tracking import Tracking

Made = TypeVar("Made")


class Workshop:
    """Keeps what one step made so that the next one need not; knows where models run.

    Args:
        store: Where finished inputs are read from.
        device: Where models run; never part of a step's identity.
        notice: Called with what is worth saying on the way.
        announce: Called with a step's key before it is trained, where other processes take part in training.
        tracking: Where trainings can be followed, if anywhere; never part of a step's identity.
        shards: Whether other processes take part in training and the model is split over them.
        gpu_share: Of the free memory of a CUDA device, what asking may take; never part of a step's identity.
    """

    def __init__(
        self,
        store: Store,
        *,
        device: str = "cpu",
        notice: Callable[[str], None] | None = None,
        announce: Callable[[str], None] | None = None,
        tracking: Tracking | None = None,
        shards: bool = False,
        gpu_share: float = GPU_SHARE,
    ) -> None:
        self.store = store
        self.device = device
        self.notice = notice
        self.announce = announce
        self.tracking = tracking
        self.shards = shards
        self.gpu_share = gpu_share
        self._kept: dict[Hashable, Any] = {}
        self._loaded: LoadedModel | None = None

    def kept(self, name: Hashable, make: Callable[[], Made]) -> Made:
        """Return what was made under a name, or make and keep it."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]  # type: ignore[no-any-return]

    def encoder(self, path: Path) -> Encoder:
        """Return the tokenizer of a model's folder."""
        from spillover.models.tokenizer import load_encoder

        return self.kept(("encoder", path), lambda: load_encoder(path))

    def model(
        self,
        base: Path,
        *,
        weights: Path,
        is_adapter: bool,
        precision: Precision,
        check: Callable[[], object] = lambda: None,
    ) -> LoadedModel:
        """Return a model to ask: the one at hand with other weights, or with another adapter, where that will do.

        Args:
            base: The folder whose settings the model has.
            weights: Its weights, or those of an adapter of the base.
            is_adapter: Which of both.
            precision: Of its weights in memory.
            check: Called before weights are read, not where they are in memory: of gigabytes it takes seconds.
        """
        from spillover.models.loaded import LoadedModel

        wanted = (base, weights) if is_adapter else (weights, None)
        if self._loaded is None or self._loaded.in_use != wanted:
            check()
        if self._loaded is None or self._loaded.base != base:
            self.let_go()  # or two would be in memory for a while
            self._loaded = LoadedModel(base, dtype=precision, device=self.device, gpu_share=self.gpu_share)
        try:
            self._loaded.use(*wanted)
        except BaseException:
            self.let_go()  # some of its weights may be overwritten, and it would still pass for what it was
            raise
        return self._loaded

    def let_go(self) -> None:
        """Give back the memory of the model at hand."""
        self._loaded = None


@cache
def machine() -> Mapping[str, Any]:
    """Return what a number's rounding may depend on besides its step: versions and processor."""
    packages = ("spillover", "torch", "transformers", "accelerate", "peft", "tokenizers", "numpy")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
    }
