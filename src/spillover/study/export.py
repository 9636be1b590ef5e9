"""Writes a variant's whole model into a folder for use elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from spillover.artifacts.cache import room_on_disk
from spillover.errors import UserError, unknown_name
from spillover.store.store import Store
from spillover.study.study import Study


def export(study: Study, store: Store, variant: str, folder: Path) -> float:
    """Write a variant as a Hugging Face folder, an adapter merged into its base.

    Returns:
        The largest difference of a logit that merging made; 0 for a variant that is a whole model already.

    Raises:
        UserError: If the variant does not exist or is not finished, or the folder does.
        SpilloverError: If merging changes the model, see `spillover.models.adapters.export_merged`.
    """
    from spillover.models.adapters import export_merged
    from spillover.models.tokenizer import load_tokenizer
    from spillover.prompts.encoding import Encoder
    from spillover.training.general_text import general_rows

    steps = {step.variant: step for step in study.models}
    if variant not in steps:
        raise unknown_name("variant", variant, steps)
    step = steps[variant]
    if not step.is_of_base:
        raise UserError(
            f"variant {variant!r} is a classifier, no language model; its files are in {store.folder(step)}"
        )
    if not store.has(step):
        raise UserError(f"variant {variant!r} is not finished in {store.root}; run the study first")
    if folder.exists():
        raise UserError(f"{folder}: exists; name a new folder")
    path = step.weights(store)
    with _appearing_whole(folder) as unfinished:
        if not step.saves_adapter:
            shutil.copytree(path, unfinished)
            _as_readable_as_its_settings(unfinished)
            return 0.0
        tokenizer = load_tokenizer(step.base.path)
        texts = [(*row.prompt, *row.target) for row in general_rows(Encoder(tokenizer))]
        gap = export_merged(step.base.path, path, unfinished, texts)
        tokenizer.save_pretrained(unfinished)
        _as_readable_as_its_settings(unfinished)
    return gap


def _as_readable_as_its_settings(folder: Path) -> None:
    """Let whoever may read config.json read all files; safetensors writes weights for their owner alone."""
    for path in folder.iterdir():
        shutil.copymode(folder / "config.json", path)


@contextmanager
def _appearing_whole(folder: Path) -> Iterator[Path]:
    """Yield a path beside the folder that is renamed to it if the block succeeds, and leaves nothing if not.

    Raises:
        UserError: If the place cannot be written, or is full.
    """
    try:
        with room_on_disk(folder.absolute().parent):
            folder.absolute().parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=folder.absolute().parent, prefix=f".{folder.name}-") as scratch:
                yield Path(scratch) / folder.name
                (Path(scratch) / folder.name).rename(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error}); name another folder") from error
