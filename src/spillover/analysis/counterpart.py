"""Which variants are plain fine-tuning, and which two differ in one thing alone, which then made the difference."""

from collections.abc import Iterable, Mapping
from typing import Any

from spillover.records import VariantCard

_PLAIN_KINDS = ("full", "none")
"""Of a recipe's slots where they add nothing; a slot at its default is mostly not named at all."""


def is_plain(card: VariantCard) -> bool:
    """Whether a variant is fine-tuning on its task alone with nothing added."""
    return _is_alone(card) and not demonstration_count(card) and not _added(card)


def is_fticl(card: VariantCard) -> bool:
    """Whether a variant differs from plain fine-tuning by demonstrations in front of every training row alone."""
    return _is_alone(card) and demonstration_count(card) > 0 and not _added(card)


def counterpart_without_demonstrations(card: VariantCard, cards: Iterable[VariantCard]) -> VariantCard | None:
    """Return the variant that shares everything but the demonstrations: of an FTICL variant its plain counterpart.

    Same rows and mixture, size, seed, training settings (so that a point of a sweep goes with the point of its own
    rate) and every other slot of the recipe. None where the study has none, or the variant has no demonstrations.
    """
    if not demonstration_count(card):
        return None
    others = (other for other in cards if not demonstration_count(other))
    return next((other for other in others if _all_but_demonstrations(other) == _all_but_demonstrations(card)), None)


def differ_in_one_thing(one: VariantCard, other: VariantCard) -> bool:
    """Whether two variants of the same task, size and seed differ in what they are trained by, or in the settings of
    training, but not in both: else nobody could say which of the two made a difference.
    """
    if (one.trained_on, one.size, one.seed) != (other.trained_on, other.size, other.seed):
        return False
    recipes = [(demonstration_count(card), _slots(card), _mixture(card)) for card in (one, other)]
    return recipes[0] == recipes[1] or _settings(one) == _settings(other)


def demonstration_count(card: VariantCard) -> int:
    """Return how many demonstrations stand in front of every training row."""
    slot = card.recipe.get("demonstrations")
    return int(slot.get("count", 0)) if isinstance(slot, Mapping) else int(slot or 0)


def _all_but_demonstrations(card: VariantCard) -> tuple[object, ...]:
    return card.trained_on, card.size, card.seed, _mixture(card), _slots(card), _settings(card)


def _is_alone(card: VariantCard) -> bool:
    return not card.mixture and not card.is_control


def _mixture(card: VariantCard) -> tuple[Mapping[str, float], int, str]:
    """Return each source's share of the rows, how many rows repeat, and the order of the sources."""
    mixed = card.mixture
    shares = mixed.get("row_shares", {card.trained_on: 1.0})
    return shares, sum(mixed.get("repeated_rows", {}).values()), mixed.get("order", "joint")


def _slots(card: VariantCard) -> dict[str, Any]:
    """Return the slots of the recipe without demonstrations."""
    return {name: slot for name, slot in card.recipe.items() if name != "demonstrations"}


def _added(card: VariantCard) -> list[str]:
    """Return the slots that add something; what was trained elsewhere adds what nobody knows."""
    kinds = {
        name: slot.get("kind", "unknown") if isinstance(slot, Mapping) else slot
        for name, slot in _slots(card).items()
        if slot
    }
    return [name for name, kind in kinds.items() if kind not in _PLAIN_KINDS]


def _settings(card: VariantCard) -> dict[str, Any]:
    """Return what the optimization was set to; recomputing activations changes no weight."""
    settings = card.training.get("settings") or {}
    return {name: value for name, value in settings.items() if name != "gradient_checkpointing"}
