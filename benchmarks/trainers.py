"""Two trainers on the same rows: ours, and TRL's SFTTrainer in its fastest settings, each stopping after every step."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.models.precision import Precision
from spillover.training.optimization import TrainingSettings
from spillover.training.rows import TrainingRow, TrainingRows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

AfterStep = Callable[[], None]
"""Called when an optimizer step is done; returns when the next may start."""


@dataclass(frozen=True, slots=True)
class Job:
    """What both sides train: one epoch over ``rows``."""

    model: Path
    """Its tokenizer and, where no ``shape`` is given, its weights."""
    rows: TrainingRows
    """As many as the steps take."""
    settings: TrainingSettings
    precision: Precision
    device: str
    threads: int
    shape: Mapping[str, Any] | None
    """Of a randomly initialised model: what its configuration has in place of the folder's."""

    def load(self) -> PreTrainedModel:
        """Return the model to train, with float32 weights."""
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        from spillover.models.load import load_model

        if self.shape is None:
            return load_model(self.model, dtype="float32", device=self.device)
        config = AutoConfig.from_pretrained(self.model, local_files_only=True, **self.shape)
        torch.manual_seed(0)
        with torch.device(self.device):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(
                config, dtype=torch.float32, attn_implementation="sdpa"
            )
        return model

    @property
    def ordered(self) -> list[TrainingRow]:
        """The rows in the order in which our loop takes them."""
        from spillover.training.fit import batches

        return [row for batch in batches(self.rows.rows, self.settings, seed=0) for row in batch]


def train_ours(model: PreTrainedModel, job: Job, after_step: AfterStep) -> list[float]:
    """Train as a study would; return the loss of every step."""
    from spillover.training.fit import fit

    log = fit(model, job.rows, job.settings, seed=0, precision=job.precision, progress=lambda *_: after_step())
    return log.losses


def trl_settings(job: Job, *, padding_free: bool) -> dict[str, Any]:
    """Return what TRL is told, but for the folder it may write to.

    Nothing is recomputed, nothing is logged, and the optimizer is torch's fused AdamW as ours is. ``padding_free`` is
    valid without flash attention (which needs a GPU): transformers finds the rows by their positions and masks what is
    between them. ``packing`` is not comparable, as it puts other rows into a batch.
    """
    settings = job.settings
    return {
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": 1,
        "num_train_epochs": settings.epochs,
        "train_sampling_strategy": "sequential",
        "completion_only_loss": True,
        "padding_free": padding_free,
        "packing": False,
        "max_length": None,
        "optim": "adamw_torch_fused",
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0,
        "max_grad_norm": settings.max_gradient_norm,
        "bf16": job.precision == "bfloat16",
        "gradient_checkpointing": False,
        "use_cpu": job.device == "cpu",
        "dataloader_pin_memory": job.device != "cpu",
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": 0,
    }


def train_trl(model: PreTrainedModel, job: Job, after_step: AfterStep, *, padding_free: bool) -> list[float]:
    """Train with TRL on the same token ids; return the loss of every step."""
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from spillover.models.tokenizer import load_tokenizer

    losses: list[torch.Tensor] = []

    class Recording(SFTTrainer):  # type: ignore[misc]
        def training_step(self, *arguments: Any, **named: Any) -> Any:
            loss = super().training_step(*arguments, **named)
            losses.append(loss.detach())  # read at the end, so that no device waits for it
            return loss

    class Stopping(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            after_step()

    disable_progress_bars()
    data = Dataset.from_list(
        [
            {
                "input_ids": [*row.prompt, *row.target],
                "completion_mask": [0] * len(row.prompt) + [1] * len(row.target),
            }
            for row in job.ordered
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # `gradient_checkpointing` has a newer name, too
            config = SFTConfig(folder, **trl_settings(job, padding_free=padding_free))
        trainer = Recording(
            model,
            args=config,
            train_dataset=data,
            processing_class=load_tokenizer(job.model),
            callbacks=[Stopping()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return [float(loss) for loss in losses]
