"""Texts as vectors: the mean of an encoder's last hidden states over a text's tokens, of length 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from spillover.models.encoder import ASKED_TOGETHER
from spillover.models.load import ATTENTION, opened
from spillover.records import FloatArray

MOST_TOKENS = 256
"""Of a text, the rest is left out; MiniLM was trained on no longer ones."""


class Embedder:
    """An encoder that is read from its folder in float32."""

    def __init__(self, folder: Path, *, device: str) -> None:
        local: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
        with opened(folder):
            self._model = AutoModel.from_pretrained(
                folder, dtype=torch.float32, attn_implementation=ATTENTION, use_safetensors=True, **local
            )
            self._tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        self._model.to(device)
        self._model.train(False)
        self._most = min(MOST_TOKENS, int(getattr(self._model.config, "max_position_embeddings", MOST_TOKENS)))

    def vectors(self, texts: Sequence[str]) -> FloatArray:
        """Return a vector of length 1 for each text, ``(texts, hidden size)``, whatever it is asked together with."""
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        found: list[FloatArray] = [np.zeros(0)] * len(texts)
        with torch.inference_mode():
            for start in range(0, len(order), ASKED_TOGETHER):
                together = order[start : start + ASKED_TOGETHER]
                batch = self._tokenizer(
                    [texts[index] for index in together],
                    padding=True,
                    truncation=True,
                    max_length=self._most,
                    return_tensors="pt",
                ).to(self._model.device)
                hidden = self._model(**batch).last_hidden_state.double()
                mask = batch["attention_mask"].unsqueeze(-1).double()
                means = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
                for index, row in zip(together, torch.nn.functional.normalize(means).cpu().numpy(), strict=True):
                    found[index] = row
        return np.stack(found)
