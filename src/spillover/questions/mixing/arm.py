"""An arm of a design: what it is there for before it is trained, and what its card keeps of it afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from spillover.steps.derive import Derive
from spillover.steps.finetune import Finetune
from spillover.steps.variant import Variant
from spillover.store.store import Store
from spillover.study.design import Part
from spillover.study.study import Study
from spillover.tasks.coverage import coverage
from spillover.tasks.mixture import Budget, Mixture, Order
from spillover.tasks.prepare import training_rows

QUESTION = "mixing"
"""Under which cards keep facts of arms."""
MIXTURE = "mixture"
"""The kind of an arm that is none of a design's own."""


@dataclass(frozen=True, kw_only=True)
class PlannedArm(Part):
    """One condition of a design, or a mixture of the study file's own."""

    target: str
    kind: str
    """``alone``, ``pair``, ... or `MIXTURE`."""
    added: tuple[str, ...] = ()
    left_out: str | None = None
    general: tuple[str, ...] = ()
    mathematics: tuple[str, ...] = ()
    budget: Budget = "additive"
    order: Order = "joint"
    specialist_rows: int | None = None
    """Rows of the target and what is added, as the design states them; None counts those that are trained on."""
    general_rows: int | None = None
    """The same of general data."""
    general_share: float | None = None
    """Part of the mixture that general data was asked to be; None where its rows were counted."""


@dataclass(frozen=True, kw_only=True)
class ArmFacts:
    """What the card of a finished arm keeps of it."""

    target: str
    kind: str
    added: tuple[str, ...] = ()
    left_out: str | None = None
    general: tuple[str, ...] = ()
    mathematics: tuple[str, ...] = ()
    budget: str = "additive"
    order: str = "joint"
    specialist_rows: int
    general_rows: int = 0
    general_share: float | None = None
    rows: Mapping[str, int]
    """Of each task that is trained on, in one pass over them."""
    coverage: float | None = None
    """Of the target and what is added to it that is not general; None where the target is not trained on."""
    false_share: float | None = None
    """Share of wrong facts in what is added; None where no facts that a program wrote are."""
    validation: Mapping[str, float] | None = None
    """What `steps.validate.validation_loss` found, where it was measured: by the design, or by a budget."""


def facts_of(study: Study, store: Store, model: Variant) -> Mapping[str, Any]:
    """Return the `ArmFacts` of a finished variant as plain data; empty where it is neither an arm nor a mixture."""
    if not isinstance(model, Finetune | Derive):
        return {}
    trained, arm = model.trained, study.part_of(model)
    mixture = trained.rows.mixture
    if not isinstance(arm, PlannedArm):
        if mixture is None or arm is not None:  # another question's part is no arm
            return {}
        arm = _of_mixture(mixture)
    rows, number = _trained_on(trained, store)
    general_count = sum(count for name, count in rows.items() if name in arm.general)
    shares = [share for data, _ in trained.rows.added if (share := data.task.false_share) is not None]
    validation = study.validation_of(model)
    found = ArmFacts(
        target=arm.target,
        kind=arm.kind,
        added=arm.added,
        left_out=arm.left_out,
        general=arm.general,
        mathematics=arm.mathematics,
        budget=arm.budget,
        order=arm.order,
        specialist_rows=sum(rows.values()) - general_count if arm.specialist_rows is None else arm.specialist_rows,
        general_rows=general_count if arm.general_rows is None else arm.general_rows,
        general_share=arm.general_share,
        rows=rows,
        coverage=number if trained.trained_on.name == arm.target else None,
        false_share=max(shares, default=None),
        validation=validation.measured(store) if validation and store.has(validation) else None,
    )
    return asdict(found)


def _of_mixture(mixture: Mixture) -> PlannedArm:
    return PlannedArm(
        target=mixture.target,
        kind=MIXTURE,
        added=tuple(member.task for member in mixture.added if not member.general),
        general=tuple(member.task for member in mixture.added if member.general),
        budget=mixture.budget,
        order=mixture.order,
    )


def _trained_on(trained: Finetune, store: Store) -> tuple[Mapping[str, int], float]:
    """Return the rows of each task that is trained on, and their coverage."""
    log = trained.log(store)
    if trained.rows.mixture:
        return log["mixture"]["rows"], log["mixture"]["coverage"]
    task = trained.trained_on
    own = training_rows(trained.prepared(store), trained.size, seed=trained.seed)
    return {task.name: log["rows"]}, coverage([(task, own)]).number
