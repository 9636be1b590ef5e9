"""The one model in memory: its weights are overwritten and adapters come and go, instead of loading it again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spillover.models.adapters import attach, carries_parts, detach
from spillover.models.load import load_model, load_weights_into
from spillover.models.memory import GPU_SHARE
from spillover.models.precision import Precision
from spillover.models.scoring import PrefixCache

if TYPE_CHECKING:
    from peft import PeftModel


class LoadedModel:
    """A base, or a variant of it, ready to be asked.

    Args:
        base: The folder of the base.
        dtype: Of the weights.
        device: Where it runs.
        gpu_share: Of the free memory of a CUDA device, what asking may take.
    """

    def __init__(self, base: Path, *, dtype: Precision, device: str, gpu_share: float = GPU_SHARE) -> None:
        self.base = base
        self._gpu_share = gpu_share
        self.model = load_model(base, dtype=dtype, device=device)
        self.prefixes = PrefixCache(self.model, gpu_share)
        """Of the weights in use."""
        self._weights: Path | None = base
        self._adapter: Path | None = None
        self._handle: PeftModel | None = None

    @property
    def in_use(self) -> tuple[Path | None, Path | None]:
        """The folder of the weights, None where an adapter left its parts in them, and that of the adapter."""
        return self._weights, self._adapter

    def use(self, weights: Path, adapter: Path | None = None) -> None:
        """Make the model that of a folder of weights, with or without an adapter."""
        if (weights, adapter) == self.in_use:
            return
        self.prefixes = PrefixCache(self.model, self._gpu_share)
        if self._handle and self._adapter:
            detach(self._handle)
            if carries_parts(self._adapter):
                self._weights = None
            self._handle, self._adapter = None, None
        if weights != self._weights:
            load_weights_into(self.model, weights)
            self._weights = weights
        if adapter:
            self._handle, self._adapter = attach(self.model, adapter), adapter
            self.model.train(False)
