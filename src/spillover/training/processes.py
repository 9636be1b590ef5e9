"""Processes that train one model together: rows dealt out, gradients added, and one process that leads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

import torch
from torch import distributed

from spillover.errors import SpilloverError, UserError
from spillover.training.sharding import is_sharded

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn

    from spillover.training.rows import TrainingRow

LONGEST_SILENCE = timedelta(days=30)
"""How long a process waits for the next training while the leading one asks models and scores answers."""


WAYS = "launch with --use_fsdp --fsdp_version 2 to split the model, or with --multi_gpu for a whole copy each"
"""What to do instead of another way of splitting a model."""


def sharding_asked(environment: Mapping[str, str]) -> bool:
    """Return whether accelerate's launcher asks for a model that is split over processes (FSDP2).

    Raises:
        UserError: If it asks for something else that the loop has not, before anything is loaded.
    """

    def asked(variable: str) -> bool:
        return environment.get(variable, "").lower() in ("1", "true")

    for kind in ("deepspeed", "megatron_lm", "parallelism_config"):
        if asked(f"ACCELERATE_USE_{kind.upper()}"):
            raise UserError(f"accelerate launch was told to use {kind}, which trainings here do not; {WAYS}")
    if not asked("ACCELERATE_USE_FSDP"):
        return False
    if (version := environment.get("FSDP_VERSION", "1")) != "2":
        raise UserError(f"accelerate launch was told to use FSDP version {version}, trainings here use 2; {WAYS}")
    for setting, instead in (
        ("fsdp_offload_params", "split weights stay on the devices; set it to false, or launch more processes"),
        ("fsdp_activation_checkpointing", "set it to false and training.gradient_checkpointing in the study file"),
    ):
        if asked(setting.upper()):
            raise UserError(f"accelerate launch was told {setting}, which trainings here do not read: {instead}")
    return True


def require_launched(environment: Mapping[str, str]) -> None:
    """Refuse a number of processes that no launcher has set together with this process's place among them.

    Raises:
        UserError: If so, before anything waits for processes that never come.
    """
    size = environment.get("WORLD_SIZE", "")
    numbers = {name: environment.get(name, "") for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT")}
    wrong = [f"{name} is {value!r}" for name, value in numbers.items() if not value.isdecimal()]
    wrong += [] if environment.get("MASTER_ADDR") else ["MASTER_ADDR is not set"]
    if not wrong and int(numbers["RANK"]) >= int(size):
        wrong = [f"RANK is {numbers['RANK']}"]
    if wrong:
        raise UserError(
            f"WORLD_SIZE is {size!r} and {wrong[0]}; start several processes with accelerate launch, or unset "
            "WORLD_SIZE to run one"
        )


class Processes:
    """The processes of one training run, each with a copy or a part of the model; usually one.

    Gradients of copies are added once a step, after all passes of a process, instead of inside the backward passes: a
    process may then have no rows, passes may differ in number, and a constraint may freeze other weights at every step.
    Those of parts are added on the way back, so all processes make the same number of passes.

    Args:
        accelerator: Knows the processes.
        hold_parts: Whether the model is split over them, see `sharding`.

    Raises:
        UserError: If accelerate was told to split a model in another way, or this one while it is whole.
    """

    def __init__(self, accelerator: Accelerator, *, hold_parts: bool = False) -> None:
        kind = accelerator.distributed_type.value
        if kind not in ("NO", "MULTI_CPU", "MULTI_GPU", "MULTI_XPU", "MULTI_NPU", "FSDP"):
            raise UserError(f"accelerate was told to use {kind}, which trainings here do not; {WAYS}")
        if kind == "FSDP" and accelerator.num_processes > 1 and not hold_parts:
            raise UserError("accelerate was told to use FSDP, and the model is whole; train what `sharded` gives")
        self.hold_parts = hold_parts
        self.rank: int = accelerator.process_index
        self.count: int = accelerator.num_processes
        self._device = accelerator.device

    @property
    def leads(self) -> bool:
        """Whether this process writes what all of them learn."""
        return self.rank == 0

    def begin(self, weights: Iterable[nn.Parameter], done: int) -> None:
        """Give every process the leading one's weights.

        Raises:
            SpilloverError: If they have not all found the same checkpoint, after ``done`` steps.
        """
        if self.count == 1:
            return
        if self.total(done)[0] != self.count * done or self.total(done**2)[0] != self.count * done**2:
            raise SpilloverError("processes found different checkpoints; give all of them the same store")
        if not self.hold_parts:
            for weight in weights:
                distributed.broadcast(weight.data, src=0)

    def seed(self, seed: int, step: int) -> None:
        """Give dropout other random numbers in every process; a lone one goes on with its own."""
        if self.count > 1:
            from spillover.training.seeds import generator

            torch.manual_seed(generator(seed, f"{step}/{self.rank}").initial_seed())

    def share(self, batch: Sequence[TrainingRow]) -> Sequence[TrainingRow]:
        """Return this process's rows of a batch, which are dealt out from the longest to the shortest."""
        if self.count == 1:
            return batch
        order = sorted(range(len(batch)), key=lambda index: (-len(batch[index]), index))
        return [batch[index] for index in order[self.rank :: self.count]]

    def idle_passes(self, own_count: int) -> int:
        """Return how many passes this process must make beside its own ones, for others that have more rows."""
        if not self.hold_parts:
            return 0
        most = torch.tensor(own_count, device=self._device)
        distributed.all_reduce(most, distributed.ReduceOp.MAX)
        return int(most) - own_count

    def part(self, loss: torch.Tensor) -> torch.Tensor:
        """Return what this process back-propagates of a loss that all of them compute.

        A loss of split weights themselves has its whole gradient in the parts; of any other each adds its part.
        """
        return loss if is_sharded(loss) else loss / self.count

    def add_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over processes; a weight that no process used keeps none."""
        if self.count == 1 or self.hold_parts:
            return
        trained = [weight for weight in weights if weight.requires_grad]
        used = torch.tensor([weight.grad is not None for weight in trained], dtype=torch.uint8, device=self._device)
        distributed.all_reduce(used, distributed.ReduceOp.MAX)
        sums = []
        for weight, is_used in zip(trained, used.tolist(), strict=True):
            if is_used:
                if weight.grad is None:
                    weight.grad = torch.zeros_like(weight)
                sums.append(distributed.all_reduce(weight.grad, async_op=True))
        for pending in sums:
            pending.wait()

    def total(self, *numbers: float) -> list[float]:
        """Return the sum of each number over processes."""
        if self.count == 1:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64, device=self._device)
        distributed.all_reduce(sums)
        return [float(value) for value in sums]

    def as_led(self, decision: bool) -> bool:
        """Return what the leading process decided."""
        return self.total(float(decision and self.leads))[0] > 0


class Crew:
    """All processes of one command: the leading one tells the others which training begins, and they take part.

    It ends, for all, when its block does; an error that is not the whole crew's ends only this process, and the
    launcher then ends the others.

    Args:
        cpu: Whether they compute on processors although there are accelerators.
        shards: Whether models are split over them while they train.
    """

    def __init__(self, *, cpu: bool, shards: bool = False) -> None:
        from accelerate import PartialState
        from accelerate.utils import disable_fsdp_ram_efficient_loading

        self.shards = shards
        if shards:
            disable_fsdp_ram_efficient_loading()  # or transformers loads models in the leading process alone
        self._state = PartialState(cpu=cpu)
        # A channel of its own, beside the one that gradients take, may be silent for as long as no training runs.
        self._channel = distributed.new_group(backend="gloo", timeout=LONGEST_SILENCE)

    @property
    def leads(self) -> bool:
        """Whether this is the process that does everything but training alone."""
        return bool(self._state.is_main_process)

    @property
    def device(self) -> str:
        """Where this process computes."""
        return str(self._state.device)

    def announce(self, key: str | None) -> None:
        """Tell the others which step is trained now; None lets them go."""
        distributed.broadcast_object_list([key], src=0, group=self._channel, device=torch.device("cpu"))

    def next_key(self) -> str | None:
        """Wait for the next training; None when there is no more."""
        heard: list[str | None] = [None]
        distributed.broadcast_object_list(heard, src=0, group=self._channel, device=torch.device("cpu"))
        return heard[0]

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.leads and (kind is None or issubclass(kind, SpilloverError)):
            self.announce(None)
