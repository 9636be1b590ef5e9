"""The one training loop: exact shared-prefix fine-tuning over accelerate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import is_initialized
from torch import nn

from spillover.errors import SpilloverError, UserError
from spillover.models.packing import chain, pack, packs, run
from spillover.training.checkpoints import Checkpoints, RunState
from spillover.training.constraints.constraint import Constraint, Training
from spillover.training.constraints.timed import TimedConstraint
from spillover.training.log import TrainingLog
from spillover.training.loss import summed_loss
from spillover.training.optimization import TrainingSettings
from spillover.training.optimizers import build_optimizer
from spillover.training.probe import ForgettingProbe, Watch
from spillover.training.processes import Processes
from spillover.training.rows import TrainingRow, TrainingRows
from spillover.training.sharding import is_sharded
from spillover.training.tracking import TrackedTraining

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Progress = Callable[[int, int, float], None]
"""Called after every optimizer step with the step's number, the number of steps and its loss."""


class SharedPrefixLogits(nn.Module):
    """Next-token logits of a pack of rows behind one shared prefix, which is encoded once and back-propagated through.

    Prefix and rows are one pass of the model: every weight is read, and its gradient written, once, and gradient hooks
    see all of it.

    Args:
        precision: ``bfloat16`` computes under autocast.
    """

    def __init__(self, model: PreTrainedModel, precision: str = "float32") -> None:
        super().__init__()
        self.model = model
        self._rounds = precision == "bfloat16"

    def forward(self, rows: Sequence[TrainingRow], shared: int) -> torch.Tensor:
        """Return the logits ``(target tokens, vocabulary)`` in float32; rows share their first ``shared`` ids."""
        with torch.autocast(self.model.device.type, dtype=torch.bfloat16, enabled=self._rounds):
            return self._logits(rows, shared)

    def _logits(self, rows: Sequence[TrainingRow], shared: int) -> torch.Tensor:
        trees = [chain((*row.prompt[shared:], *row.target[:-1])) for row in rows]
        packed = pack(trees, 0, self.model.device, trunk=rows[0].prompt[:shared])
        wanted = [
            offset + len(row.prompt) - shared - 1 + index
            for row, offset in zip(rows, packed.offsets, strict=True)
            for index in range(len(row.target))
        ]
        return run(self.model, packed, None, wanted)


def recompute_activations(model: PreTrainedModel, *, on: bool = True) -> None:
    """Let the model's layers drop their activations and compute them again on the way back (gradient checkpointing).

    Raises:
        UserError: If the architecture cannot.
    """
    if not model.supports_gradient_checkpointing:
        raise UserError(f"training.gradient_checkpointing: {model.config.model_type} has no such mode; leave it out")
    new_name = hasattr(model, "activation_checkpointing_enable")  # transformers 5 renamed it on the way
    prefix = "activation" if new_name else "gradient"
    if on:
        getattr(model, f"{prefix}_checkpointing_enable")({"use_reentrant": False})
    else:
        getattr(model, f"{prefix}_checkpointing_disable")()


def fit(
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
    """Fine-tune the trainable weights of ``model`` in place.

    The loss of an optimizer step is the mean over all target tokens of its rows, however they are packed and however
    many processes share them. Trained weights stay float32; ``precision="bfloat16"`` computes under autocast.

    Args:
        model: The base, whose weights the recipe's parameters have been chosen from.
        data: The rows to learn.
        settings: Of the optimization.
        seed: Of the order of rows and of dropout.
        precision: What passes are computed in.
        constraint: What the recipe adds to the loop.
        watch: How often, and on which text, forgetting is measured; changes no weight.
        checkpoints: Where the run is saved on its way, and where a killed one is found again.
        tracked: What losses, learning rates and forgetting are sent to; its run is left open.
        progress: Called after every step.

    Raises:
        SpilloverError: If a batch has no target token, a loss is not finite or the tracker fails.
    """
    held = {weight.dtype for weight in model.parameters() if weight.requires_grad}
    if held - {torch.float32}:
        raise SpilloverError(f"training needs float32 weights, got {held}; small updates are lost in fewer bits")
    torch.manual_seed(seed)
    run = _Run(model, data, settings, seed, precision, constraint or Constraint(), watch, tracked)
    done = checkpoints.restore(run.state) if checkpoints else 0
    run.processes.begin(run.weights.values(), done)
    for step, batch in islice(enumerate(batches(data.rows, settings, seed=seed)), done, run.step_count):
        if watch and step % watch.every == 0:
            run.look(step)
        goes_on = run.learn(step, batch)
        if progress:
            progress(step + 1, run.step_count, run.log.losses[-1])
        if not goes_on:
            break
        if checkpoints and step + 1 < run.step_count and run.processes.as_led(checkpoints.are_due):
            checkpoints.save(run.state, step + 1, write=run.processes.leads)
    return run.finish()


class _Run:
    """What the steps of one run share; arguments as of `fit`."""

    def __init__(
        self,
        model: PreTrainedModel,
        data: TrainingRows,
        settings: TrainingSettings,
        seed: int,
        precision: str,
        constraint: Constraint,
        watch: Watch | None,
        tracked: TrackedTraining | None,
    ) -> None:
        self._model, self._settings, self._seed, self._watch = model, settings, seed, watch
        # What accelerate is told first holds for the process; later runs may have another device and precision.
        self._accelerator = Accelerator(
            device_placement=False,
            cpu=model.device.type == "cpu" and not is_initialized(),
            mixed_precision="no",
            log_with=tracked.tracker if tracked else None,
            project_dir=tracked.folder if tracked else None,
        )
        self.processes = Processes(self._accelerator, hold_parts=any(map(is_sharded, model.parameters())))
        self._tracked = tracked if self.processes.leads else None
        self.step_count = settings.step_count(len(data.rows))
        self.weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        optimizer = build_optimizer(model, self.weights.values(), settings)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / self.step_count)
        # Evaluation mode leaves out accelerate's own wrapper for several processes, whose part `processes` takes.
        self._logits = self._accelerator.prepare_model(SharedPrefixLogits(model, precision), evaluation_mode=True)
        self._optimizer = self._accelerator.prepare_optimizer(optimizer)
        hidden_size = model.config.get_text_config(decoder=True).hidden_size
        self._prefix_length = data.shared_prefix_length
        self._pack_tokens = best_pack_tokens(hidden_size, data.shared_prefix_length)
        self.log = TrainingLog(self.step_count)
        if settings.gradient_checkpointing:
            recompute_activations(model)
        self._rule = TimedConstraint(constraint)
        batch_sizes, epoch_steps = settings.batch_sizes(len(data.rows)), settings.epoch_step_count(len(data.rows))
        self._rule.begin(Training(model, self.weights, self._logits, batch_sizes, epoch_steps, seed))
        self._probe = (
            ForgettingProbe(model, self._logits, watch.rows, watch.base)
            if watch and (self.processes.leads or self.processes.hold_parts)
            else None
        )
        self.state = RunState(self.weights, self._optimizer, self._schedule, constraint, self.log)
        if self._tracked:
            self._tracked.begin(self._accelerator)

    def look(self, step: int) -> None:
        """Measure forgetting before a step."""
        if self._probe and self._watch:
            found = self._probe.measure()
            self.log.forgetting.append({"step": step, **found})
            if self._tracked:
                self._tracked.log(step, found)
            if self._watch.tell:
                loss, divergence = found["general_loss"], found["kl_to_base"]
                self._watch.tell(f"step {step}: loss on general text {loss:.3f}, KL to the base {divergence:.4f} nats")

    def learn(self, step: int, batch: Sequence[TrainingRow]) -> bool:
        """Take an optimizer step on a batch; return whether training goes on."""
        self._model.train()
        self.processes.seed(self._seed, step)
        self._rule.before_step(step, lambda loss: self._accelerator.backward(self.processes.part(loss)))
        loss = self._accumulate(batch)
        if not math.isfinite(loss):
            raise SpilloverError(
                f"the loss is {loss} at step {step + 1} of {self.step_count}; lower training.learning_rate "
                f"(now {self._settings.learning_rate:g})"
            )
        self.processes.add_gradients(self.weights.values())
        self._accelerator.clip_grad_norm_(self.weights.values(), self._settings.max_gradient_norm)
        self._optimizer.step()
        rate = float(self._schedule.get_last_lr()[0])
        self._schedule.step()
        goes_on = self._rule.after_step(step)
        self._optimizer.zero_grad()
        self.log.losses.append(loss)
        if self._tracked:
            self._tracked.log(step + 1, {"loss": loss, "learning_rate": rate})
        return self.processes.as_led(goes_on)

    def _accumulate(self, batch: Sequence[TrainingRow]) -> float:
        """Back-propagate the mean loss over the batch's target tokens, pack by pack of this process; return it."""
        target_count = sum(len(row.target) for row in batch)
        if not target_count:
            raise SpilloverError(f"a batch of {len(batch)} rows has no target token to learn")
        own, total, forward_count, shared = self.processes.share(batch), 0.0, 0, self._prefix_length
        groups = packs([len(row) - shared for row in own], self._pack_tokens)
        idle_count = self.processes.idle_passes(len(groups))
        for group in groups:
            rows = [own[index] for index in group]
            loss = summed_loss(self._logits(rows, shared), rows)
            self._accelerator.backward(loss / target_count)
            total += float(loss.detach())
            forward_count += shared + sum(len(row) - shared - 1 for row in rows)
        for _ in range(idle_count):
            rows = [min(batch, key=len)]
            self._accelerator.backward(0 * summed_loss(self._logits(rows, shared), rows))
        total, forward_total = self.processes.total(total, forward_count)
        self.log.forward_token_count += round(forward_total)
        self.log.target_token_count += target_count
        return total / target_count

    def finish(self) -> TrainingLog:
        """Let the constraint correct the weights a last time and return what happened."""
        self._rule.end()
        self.look(len(self.log.losses))
        self.log.step_count = len(self.log.losses)
        self.log.recipe_report = self._rule.report(self._model, self.weights)
        self._model.train(False)
        if self._settings.gradient_checkpointing:
            recompute_activations(self._model, on=False)
        return self.log


def batches(rows: Sequence[TrainingRow], settings: TrainingSettings, *, seed: int) -> Iterator[list[TrainingRow]]:
    """Yield the rows of each optimizer step; the order is a pure function of the seed, the epoch and the row count."""
    for epoch in range(settings.epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(rows))
        for start in range(0, len(rows), settings.batch_size):
            yield [rows[index] for index in order[start : start + settings.batch_size]]


def best_pack_tokens(hidden_size: int, prefix_length: int) -> int:
    """Return the pack size that costs least.

    Splitting rows into packs of n tokens repeats the prefix of P tokens, which costs about 24 h^2 P / n operations a
    token and layer, while attention over pack-mates, where it is masked and not left out, costs 4 h n; their sum is
    least at n = sqrt(6 h P). Every pack adds a full set of gradients to memory, so a pack has at least 2048 tokens.
    """
    return min(max(2048, round(math.sqrt(6 * hidden_size * prefix_length))), 4096)
