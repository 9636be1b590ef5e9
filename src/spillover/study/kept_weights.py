"""A finished variant's weights: where the store keeps them, and what they are."""

from __future__ import annotations

from pathlib import Path

from spillover.errors import SpilloverError, UserError
from spillover.models.fingerprint import weights_fingerprint
from spillover.study.step import Adopt, Variant
from spillover.study.store import Store

WEIGHTS, ADAPTER = "weights", "adapter"
"""Folders of a variant: a whole model, or an adapter of its base."""


def kept_weights(store: Store, step: Variant) -> Path:
    """Return the folder of a finished variant's weights or adapter after checking the digests of its files.

    One that was trained elsewhere stays where it is.
    """
    if isinstance(step, Adopt):
        return step.adopted.path
    names = store.manifest(step.kind, step.key)["files"]
    kept = [name for name in names if Path(name).parts[0] in (WEIGHTS, ADAPTER)]
    if not kept:
        raise UserError(f"{store.folder(step.kind, step.key)} holds no weights; remove it and run again")
    paths = [store.file(step.kind, step.key, name) for name in kept]
    return paths[0].parent


def variant_fingerprint(step: Variant, folder: Path, when: str) -> str:
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
