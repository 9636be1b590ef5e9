"""Writes a variant's whole model into a folder for use elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

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
    if not store.has(step):
        raise UserError(f"variant {variant!r} is not finished in {store.root}; run the study first")
    if folder.exists():
        raise UserError(f"{folder}: exists; name a new folder")
    path = step.weights(store)
    if not step.saves_adapter:
        shutil.copytree(path, folder)
        return 0.0
    tokenizer = load_tokenizer(step.base.path)
    texts = [(*row.prompt, *row.target) for row in general_rows(Encoder(tokenizer))]
    gap = export_merged(step.base.path, path, folder, texts)
    tokenizer.save_pretrained(folder)
    return gap
