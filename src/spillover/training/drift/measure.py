"""Everything that is measured of a variant's drift from its base, as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from spillover.prompts.encoding import Encoder
from spillover.training.drift.function import function_drift
from spillover.training.drift.tensors import Tensors
from spillover.training.drift.weights import moved_rows, weight_drift
from spillover.training.general_text import general_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def measure_drift(variant: PreTrainedModel, base: PreTrainedModel, encoder: Encoder) -> dict[str, Any]:
    """Compare two models in float32.

    Returns:
        What `weight_drift` returns; ``moved_tokens`` (``token_id``, ``token`` as text, ``relative_norm``); ``probe``, a
        `FunctionDrift` on general text.
    """
    own, others = Tensors.of_model(variant), Tensors.of_model(base)
    rows = [(*row.prompt, *row.target) for row in general_rows(encoder)]
    return {
        **weight_drift(own, others),
        "moved_tokens": [{**asdict(row), "token": encoder.token_text(row.token_id)} for row in moved_rows(own, others)],
        "probe": asdict(function_drift(variant, base, rows)),
    }
