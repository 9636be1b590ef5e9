"""Everything that is measured of a variant's drift from its base, as plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.models.load import load_model
from spillover.models.memory import give_back_memory
from spillover.prompts.encoding import Encoder
from spillover.training.drift.function import function_drift, outputs
from spillover.training.drift.tensors import Tensors
from spillover.training.drift.weights import moved_rows, weight_drift
from spillover.training.general_text import general_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def measure_drift(load_variant: Callable[[], PreTrainedModel], base: Path, encoder: Encoder) -> dict[str, Any]:
    """Compare two models in float32, of which one at a time is in memory.

    Of the base only what it computes on general text is kept; its weights are then read tensor by tensor.

    Args:
        load_variant: Loads the variant.
        base: The folder of the base.
        encoder: Of the base.

    Returns:
        What `weight_drift` returns; ``moved_tokens`` (``token_id``, ``token`` as text, ``relative_norm``); ``probe``, a
        `FunctionDrift` on general text.
    """
    rows = [(*row.prompt, *row.target) for row in general_rows(encoder)]
    model = load_model(base, dtype="float32", device="cpu")
    before, others = list(outputs(model, rows)), Tensors.of_loaded(model, base)
    del model
    give_back_memory()
    model = load_variant()
    own = Tensors.of_model(model)
    return {
        **weight_drift(own, others),
        "moved_tokens": [{**asdict(row), "token": encoder.token_text(row.token_id)} for row in moved_rows(own, others)],
        "probe": asdict(function_drift(outputs(model, rows), before)),
    }
