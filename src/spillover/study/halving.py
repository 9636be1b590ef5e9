"""Keeps a design within a budget of time: successive halving of its arms on validation rows, never on test rows."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from spillover.errors import SpilloverError, UserError
from spillover.steps.finetune import Finetune
from spillover.steps.step import Step, with_inputs
from spillover.steps.validate import VALIDATION_ROWS, Validate
from spillover.steps.variant import Variant
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.runner import Observer, missing_steps, run_steps
from spillover.study.study import Study, VariantPlan
from spillover.tasks.mixture import Mixture

RUNGS = (8, 4, 2)
"""A rung trains on this part of an arm's rows; the better half of the arms goes on to the next."""

_UNITS = {"s": 1, "m": 60, "h": 3600}


def budget_seconds(text: str) -> float:
    """Read a time such as ``2h``, ``90m`` or ``1h30m``."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not seconds:
        raise UserError(f"--budget is {text!r}; expected a time such as 2h, 90m or 1h30m")
    return seconds


def within_budget(
    study: Study,
    store: Store,
    workshop: Workshop,
    observer: Observer,
    *,
    seconds: float,
    notice: Callable[[str], None],
) -> Study:
    """Return the study with the arms that fit the time, after running what it takes to choose them.

    The base is asked first, and estimates rest on the speed of what is finished. While the rest would take too long,
    the arms of a target and size are trained on a part of their rows, from an eighth to a half, and those of the higher
    validation loss go. Arms that were fixed beforehand, and the best of the others, are never dropped, even beyond the
    budget; where any is dropped, the others are measured on validation rows once more as they are trained in the end.

    Raises:
        UserError: If the study has no arms that compete, or their targets too few rows left for validation.
    """
    if not any(_contests(study.variants)):
        keys = [f"`{key}`" for question in study.questions for key in question.design_keys]
        of = f" of a {' or '.join(keys)}" if keys else ""
        raise UserError(f"--budget drops arms{of}; this study has none that compete: run it without")
    started = time.monotonic()
    run_steps(study, [step for step in missing_steps(study, store) if _is_of_base(step)], store, workshop, observer)
    for part in RUNGS:
        left = seconds - (time.monotonic() - started)
        estimate = _estimate(study, store, workshop)
        contests = _contests(study.variants)
        if estimate <= left or not contests:
            break
        notice(f"about {estimate / 60:.0f} minutes to do, {max(0.0, left) / 60:.0f} left: the arms are halved")
        dropped = [
            plan for contest in contests for plan in _worse_half(study, contest, part, store, workshop, observer)
        ]
        for plan in dropped:
            notice(f"{plan.name} for {plan.train_on[0].name} is not run: its validation loss is in the higher half")
        kept = tuple(plan for plan in study.variants if not any(plan is gone for gone in dropped))
        study = replace(study, variants=kept, left_out=(*study.left_out, *dropped))
    return _validated(study) if study.left_out else study


def _validated(study: Study) -> Study:
    """Return the study that measures its arms, trained on all of their rows, on validation rows too."""
    plans = [
        replace(plan, part=replace(part, validation_row_count=part.validation_row_count or VALIDATION_ROWS))
        if (part := plan.part)
        else plan
        for plan in study.variants
    ]
    return replace(study, variants=tuple(plans))


def _is_of_base(step: Step) -> bool:
    return not any(isinstance(needed, Variant) for needed in with_inputs([step]))


Contest = list[list[VariantPlan]]
"""What competes: each entry holds the arms of one mixture, which may play several parts in the design."""


def _contests(plans: Sequence[VariantPlan]) -> list[Contest]:
    """Return the mixtures that compete with each other: those of a level that are trained alike, where several are."""
    levels: dict[tuple[object, ...], dict[Mixture, list[VariantPlan]]] = {}
    for plan in plans:
        if plan.part and plan.part.level is not None and plan.mixture:
            level = (type(plan.part), plan.part.level, plan.recipe.model_dump_json(), plan.settings)
            levels.setdefault(level, {}).setdefault(plan.mixture, []).append(plan)
    return [list(level.values()) for level in levels.values() if len(level) > 1]


def _estimate(study: Study, store: Store, workshop: Workshop) -> float:
    """Return the seconds that the missing steps take, at the speed of the finished ones."""
    missing = {step.key for step in missing_steps(study, store)}
    work = {step.key: step.work(workshop) for step in study.steps}
    spent = sum(
        store.manifest(step)["provenance"]["duration_seconds"] for step in study.steps if step.key not in missing
    )
    done, left = (sum(work[key] for key in work if (key in missing) == is_left) for is_left in (False, True))
    return float(left * spent / done)


def _worse_half(
    study: Study, contest: Contest, part: int, store: Store, workshop: Workshop, observer: Observer
) -> list[VariantPlan]:
    """Train each mixture on one part of its rows, with the study's first seed, and return those of the higher loss."""
    steps = _rung(study, contest, part)
    missing = [step for step in with_inputs(steps) if not store.has(step)]
    failed = run_steps(study, missing, store, workshop, observer).failed
    if failed:
        raise SpilloverError(f"{failed[0][0].label}: {failed[0][1]}")
    losses = [step.measured(store)["loss"] for step in steps]
    order = sorted(range(len(contest)), key=lambda index: losses[index])
    return [plan for index in order[(len(contest) + 1) // 2 :] for plan in contest[index]]


def _rung(study: Study, contest: Contest, part: int) -> list[Validate]:
    """Return the validation of each mixture trained on a part of its rows; rows are the same for all."""
    trained = [_training(study, plans[0], part) for plans in contest]
    arms = (*study.designed, *trained)
    return [Validate(own, own.data, own.rows.template, arms) for own in trained]


def _training(study: Study, plan: VariantPlan, part: int) -> Finetune:
    """Return the training of an arm on a part of its rows, with the study's first seed."""
    assert plan.mixture
    members = [
        member if member.cap is None else member.model_copy(update={"cap": math.ceil(member.cap / part)})
        for member in plan.mixture.added
    ]
    mixture = plan.mixture.model_copy(update={"added": tuple(members)})
    smaller = replace(plan, sizes=(math.ceil(plan.sizes[0] / part),), mixture=mixture)
    (finetune,) = replace(study, seeds=study.seeds[:1], variants=(smaller,)).finetunes
    return finetune
