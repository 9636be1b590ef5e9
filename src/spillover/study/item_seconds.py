"""How long one more item of a tested task would take, by what the items of this study took."""

from __future__ import annotations

from collections.abc import Sequence

from spillover.records import BASE
from spillover.steps.cell_steps import AskCell
from spillover.store.store import Store


def item_seconds(asked: Sequence[AskCell], store: Store) -> dict[str, float]:
    """Return tested task to processor seconds that one item took in all its cells, of the base and one variant.

    Of several variants it is their mean. What a cell costs beside its items (loading the model, the shared prefix, the
    items computed in exact arithmetic) is shared out among them, so that few items look dear.

    Args:
        asked: Finished steps, the base's among them.
        store: Where they are.
    """
    by_task: dict[str, dict[str, float]] = {}
    for step in {step.key: step for step in asked}.values():
        spent = store.manifest(step)["provenance"]["cpu_seconds"]
        count = step.facts(store)["item_count"]
        of_model = by_task.setdefault(step.cell.tested_on, {})
        of_model[step.model] = of_model.get(step.model, 0.0) + spent / count
    found = {}
    for task, of_model in by_task.items():
        variants = [seconds for model, seconds in of_model.items() if model != BASE]
        found[task] = of_model.get(BASE, 0.0) + (sum(variants) / len(variants) if variants else 0.0)
    return found
