"""How far predictions are from exact float32 arithmetic: the flip floor of a cell, measured on a few of its items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from spillover.errors import SpilloverError
from spillover.models.exact import plain_log_likelihoods, plain_next_token
from spillover.prompts.demonstrations import seeded_order
from spillover.records import Cell, FlipFloor, FloatArray, Prediction

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spillover.evaluation.predict import EncodedCell

TOLERANCE = 1e-3
"""Nats. Two orders of float32 sums differ by some 1e-5 here; a fault in a mask or a position by far more."""


def flip_floor(
    exact: PreTrainedModel,
    cell: EncodedCell,
    predictions: Sequence[Prediction],
    *,
    end_token_id: int,
    item_count: int,
) -> FlipFloor:
    """Compare a sample of a cell's predictions with the plain path in float32; the same cell gives the same sample.

    For text only the first generated token is compared: what follows it depends on it.

    Args:
        exact: The model that answered, in float32.
        cell: What was asked.
        predictions: What was answered, in the order of the cell.
        end_token_id: The token that stands for an empty generation.
        item_count: Items to compare, or all where the cell has fewer.
    """
    differences = []
    for index in checked_items(cell.asked.cell, len(predictions), item_count):
        prompt, prediction = cell.prompts[index], predictions[index]
        if cell.choices:
            plain = plain_log_likelihoods(exact, prompt, cell.choices[index])
            differences.append(choice_difference(plain, np.asarray(prediction.log_likelihoods)))
        else:
            plain = plain_next_token(exact, prompt)
            first = prediction.token_ids[0] if prediction.token_ids else end_token_id
            differences.append((bool(plain.argmax() != first), float(plain.max() - plain[first])))
    return floor_of(differences)


def checked_items(cell: Cell, count: int, item_count: int) -> Sequence[int]:
    """Return which of a cell's ``count`` items are compared: at most ``item_count``, the same for the same cell."""
    purpose = f"flip floor {cell.tested_on} {cell.prompt_form} {cell.shots}"
    return seeded_order(count, seed=cell.demonstration_seed, purpose=purpose)[:item_count]


def choice_difference(plain: FloatArray, found: FloatArray) -> tuple[bool, float]:
    """Return whether the most likely answer differs, and the largest difference in nats."""
    return bool(plain.argmax() != found.argmax()), float(np.abs(plain - found).max())


def floor_of(differences: Iterable[tuple[bool, float]]) -> FlipFloor:
    """Return the flip floor of items of which each flipped or not and differs by so many nats."""
    flips, nats = zip(*differences, strict=True)
    return FlipFloor(len(flips), sum(flips), float(np.max(nats)))  # unlike max, keeps what is not a number


def check_exact(floor: FlipFloor, *, where: str) -> None:
    """Refuse float32 predictions that differ from the plain path by more than rounding.

    Raises:
        SpilloverError: If they do.
    """
    if not floor.largest_difference <= TOLERANCE:
        raise SpilloverError(
            f"{where}: the fast path differs from the plain path by {floor.largest_difference:.2g} nats in float32, "
            f"expected at most {TOLERANCE:g}; these predictions are wrong: please report the model and its versions"
        )
