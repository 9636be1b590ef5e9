"""Compares a variant that was trained elsewhere with its base, before compute is spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spillover.errors import UserError
from spillover.models.fingerprint import tensor_entries

if TYPE_CHECKING:
    from spillover.evaluation.predict import EncodedCell
    from spillover.models.adopted import Adopted
    from spillover.models.spec import ResolvedModel
    from spillover.prompts.encoding import Encoder


def check_adopted(adopted: Adopted, of: ResolvedModel) -> None:
    """Refuse an adapter or a model that does not fit the base, or has its weights.

    Raises:
        UserError: If so.
    """
    from spillover.models.adopted import check_adapter, check_whole

    if adopted.is_adapter:
        check_adapter(of.path, adopted.path)
        return
    check_whole(of.path, adopted.path)
    if _have_the_same_weights(adopted.path, of.path):
        raise UserError(
            f"{adopted.path}: has the weights of the base {of.name!r}, number by number; give the fine-tuned model"
        )


def _have_the_same_weights(*folders: Path) -> bool:
    from spillover.models.load import load_model
    from spillover.training.drift.tensors import Tensors, same_numbers

    own, base = ({entry.name: entry.shape for entry in tensor_entries(folder)} for folder in folders)
    common = own.keys() & base.keys()
    if any(own[name] != base[name] for name in common):  # rows were added to the vocabulary
        return False
    if common:
        return same_numbers(*(Tensors.of_folder(folder) for folder in folders))
    # The same architecture in files that name its tensors differently.
    models = (load_model(folder, dtype="float32", device="cpu") for folder in folders)
    return same_numbers(*(Tensors.of_model(model) for model in models))


def require_same_ids(cell: EncodedCell, encoder: Encoder, *, where: str) -> None:
    """Refuse a tokenizer of a variant's own that does not give the ids the base is asked with.

    Two tokenizers may differ in their files and still agree on everything a cell asks.

    Raises:
        UserError: If they disagree.
    """
    asked = cell.asked
    texts = [*asked.prompts, *asked.content_free, *([asked.premise] if asked.premise else [])]
    ids = [*cell.prompts, *cell.content_free, *([cell.premise] if cell.premise else [])]
    options = [answer for example in asked.examples for answer in example.options]
    option_ids = [answer for of_example in cell.options for answer in of_example]
    pairs = [
        *zip(texts, ids, encoder.prompts(texts), strict=True),
        *zip(asked.answers, cell.answers, encoder.targets(asked.answers), strict=True),
        *zip(options, option_ids, encoder.targets(options), strict=True),
    ]
    for text, of_base, of_variant in pairs:
        if of_base != of_variant:
            raise UserError(
                f"{where}: the variant's own tokenizer makes {len(of_variant)} tokens of the text that ends in "
                f"{text[-30:]!r}, the base's makes {len(of_base)} or others; base and variant must be asked the same "
                "token ids: give the base whose tokenizer the variant was trained with"
            )
