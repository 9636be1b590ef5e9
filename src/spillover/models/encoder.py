"""An encoder with a classification head: opening it, fitting it on rows, its logits and its folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from spillover.errors import UserError
from spillover.models.load import ATTENTION, opened
from spillover.records import FloatArray

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Texts = tuple[str, ...]
"""The input fields of a row."""
ASKED_TOGETHER = 32
"""Rows of one forward pass; rows of like length go together, so that little is padded."""


class EncoderClassifier:
    """An encoder with a head, a share of one for each label.

    Args:
        model: transformers' own model for sequence classification.
        tokenizer: Of the encoder.
        max_length: Tokens of a row; the end of a longer one is left out.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        self.model, self._tokenizer, self._max_length = model, tokenizer, max_length

    @classmethod
    def begin(cls, folder: Path, *, label_count: int, max_length: int, device: str, seed: int) -> EncoderClassifier:
        """Return the encoder of a folder with a head that has learnt nothing yet.

        Raises:
            UserError: transformers cannot read it, or its files lack weights of the encoder itself.
        """
        torch.manual_seed(seed)  # the head is drawn
        loaded, tokenizer = _read(folder, num_labels=label_count, ignore_mismatched_sizes=True)
        model = loaded[0]
        inner = f"{model.base_model_prefix}."
        lacking = [name for name in map(str, loaded[1]["missing_keys"]) if name.startswith(inner)]
        if lacking := sorted(name for name in lacking if ".pooler." not in name):
            raise UserError(
                f"{folder}: {len(lacking)} weights are missing, such as {lacking[0]}; expected all weights of the "
                "encoder that config.json names"
            )
        torch.nn.Module.to(model, device)
        return cls(model, tokenizer, max_length)

    @classmethod
    def open(cls, folder: Path, *, max_length: int, device: str) -> EncoderClassifier:
        """Return a fitted classifier from the folder that `save` wrote."""
        (model, _), tokenizer = _read(folder)
        torch.nn.Module.to(model, device)
        model.train(False)
        return cls(model, tokenizer, max_length)

    def save(self, folder: Path) -> None:
        """Write a folder that transformers reads as a model for sequence classification."""
        self.model.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)

    def batch(self, texts: Sequence[Texts]) -> dict[str, torch.Tensor]:
        """Return rows as padded token ids: the first field, and behind the encoder's own separator the others."""
        first = [row[0] for row in texts]
        others = ["\n".join(row[1:]) for row in texts] if len(texts[0]) > 1 else None
        encoded = self._tokenizer(
            first, others, padding=True, truncation=True, max_length=self._max_length, return_tensors="pt"
        )
        return {name: ids.to(self.model.device) for name, ids in encoded.items()}

    def logits(self, texts: Sequence[Texts], progress: Callable[[float], None] = lambda _: None) -> FloatArray:
        """Return the head's logits ``(rows, labels)``, whatever the rows are asked together with."""
        order = sorted(range(len(texts)), key=lambda index: sum(map(len, texts[index])))
        found: list[FloatArray] = [np.zeros(0)] * len(texts)
        with torch.inference_mode():
            for start in range(0, len(order), ASKED_TOGETHER):
                together = order[start : start + ASKED_TOGETHER]
                made = self.model(**self.batch([texts[index] for index in together])).logits.double().cpu().numpy()
                for index, row in zip(together, made, strict=True):
                    found[index] = row
                progress((start + len(together)) / len(order))
        return np.stack(found)


def _read(folder: Path, **settings: object) -> tuple[Any, PreTrainedTokenizerBase]:
    """Return what transformers loads of a folder with what it says of that, and the tokenizer."""
    local: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    with opened(folder):
        config = AutoConfig.from_pretrained(
            folder, **local, **{name: value for name, value in settings.items() if name == "num_labels"}
        )
        loaded: Any = AutoModelForSequenceClassification.from_pretrained(
            folder,
            config=config,
            output_loading_info=True,
            dtype=torch.float32,
            attn_implementation=ATTENTION,
            use_safetensors=True,
            ignore_mismatched_sizes=bool(settings.get("ignore_mismatched_sizes")),
            **local,
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
    return loaded, tokenizer
