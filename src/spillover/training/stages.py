"""Trains on a mixture: all sources together, or stage after stage on the same weights, each with a fresh optimizer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from spillover.training.checkpoints import Checkpoints
from spillover.training.constraints.constraint import Constraint
from spillover.training.fit import Progress, SharedPrefixLogits, fit
from spillover.training.log import TrainingLog
from spillover.training.optimization import TrainingSettings
from spillover.training.probe import ForgettingProbe, Watch
from spillover.training.rows import MixedRows, TrainingRows
from spillover.training.tracking import TrackedTraining

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(slots=True)
class MixedLog(TrainingLog):
    """What a training on a mixture did; steps and losses run on from stage to stage."""

    mixture: dict[str, object] = field(default_factory=dict)
    """`MixedRows.report` and ``stage_steps``, the optimizer steps of each stage."""


def fit_stages(
    model: PreTrainedModel,
    data: TrainingRows,
    settings: TrainingSettings,
    *,
    seed: int,
    precision: str = "float32",
    constraint: Constraint | None = None,
    watch: Watch | None = None,
    checkpoints: Checkpoints | None = None,
    tracked: TrackedTraining | None = None,
    progress: Progress | None = None,
) -> TrainingLog:
    """Fine-tune as `fit` does, stage after stage where the rows are a mixture with stages.

    Every stage begins at the full learning rate and without optimizer state. Forgetting is measured against the model
    before the first stage.
    """
    train = partial(fit, model, seed=seed, precision=precision, constraint=constraint, tracked=tracked)
    if not isinstance(data, MixedRows):
        return train(data, settings, watch=watch, checkpoints=checkpoints, progress=progress)
    plans = [settings] * len(data.stages)
    if data.first_epochs:
        plans[0] = settings.model_copy(update={"epochs": data.first_epochs})
    step_count = sum(plan.step_count(len(rows.rows)) for plan, rows in zip(plans, data.stages, strict=True))
    if watch and len(data.stages) > 1:
        before = ForgettingProbe(model, SharedPrefixLogits(model, precision), watch.rows).base
        watch = replace(watch, base=before)
    log = MixedLog(0, mixture=dict(data.report))
    stage_steps: list[int] = []
    for number, (rows, plan) in enumerate(zip(data.stages, plans, strict=True)):
        done = sum(stage_steps)

        def advanced(step: int, _: int, loss: float, done: int = done) -> None:
            if progress:
                progress(done + step, step_count, loss)

        own_checkpoints = checkpoints.part(f"stage-{number + 1}") if checkpoints and len(plans) > 1 else checkpoints
        own = train(rows, plan, watch=watch, checkpoints=own_checkpoints, progress=advanced)
        _join(log, own)
        stage_steps.append(own.step_count)
    log.mixture["stage_steps"] = stage_steps
    return log


def _join(log: MixedLog, stage: TrainingLog) -> None:
    """Add a stage to the log; what was measured at its start was measured at the end of the one before."""
    forgetting = [{**entry, "step": entry["step"] + log.step_count} for entry in stage.forgetting]
    log.forgetting += forgetting[1:] if log.forgetting else forgetting
    log.step_count += stage.step_count
    log.losses += stage.losses
    log.target_token_count += stage.target_token_count
    log.forward_token_count += stage.forward_token_count
    log.recipe_report = stage.recipe_report
