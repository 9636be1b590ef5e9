"""Fine-tuning against TRL's SFTTrainer on the same token ids in the same order: cost, memory and loss.

Run: python benchmarks/training.py [--quick] [--only NAME...] [--steps N] [--device cuda] [--json FILE]
Each side trains in a process of its own; they take turns, a few steps at a time. The first step of each is not counted.
Works named ``throughput-...`` train a randomly initialised model of a billion weights; they run where they are named.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import trainers
from measure import Spent
from spillover.artifacts.cache import default_cache
from spillover.models.precision import Precision, preferred_precision
from spillover.models.resolve import resolve_model
from spillover.prompts.demonstrations import choose
from spillover.tasks.prepare import prepare, protocol_rows
from spillover.tasks.suite import load_suite
from spillover.training.optimization import TrainingSettings

OURS = "spillover"
TRL = {"padded": "TRL, padded", "padding-free": "TRL, padding-free"}
"""Ways in which it batches rows."""


@dataclass(frozen=True, slots=True)
class Work:
    """A way of fine-tuning on a task."""

    title: str
    pocket_task: str
    release_task: str
    demonstrations: int
    is_large: bool = False
    """Whether a randomly initialised model of ``LARGE`` shape learns, in place of the given one."""


WORKS = {
    "question": Work("FTICL, question generation ({}), 2 demonstrations", "siqa", "socialqa", 2),
    "sentiment": Work("FTICL, sentiment ({}), 4 demonstrations", "amazon", "amazon", 4),
    "plain": Work("plain fine-tuning, sentiment ({})", "amazon", "amazon", 0),
    "throughput-question": Work("1B, FTICL, question generation ({}), 2 demonstrations", "siqa", "socialqa", 2, True),
    "throughput-plain": Work("1B, plain fine-tuning, sentiment ({})", "amazon", "amazon", 0, True),
}
LARGE = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "tie_word_embeddings": True,
}
"""A Llama of 1.07 billion weights with the 49,152 tokens of SmolLM2."""
SEGMENT_STEPS = 2
"""Steps of a turn."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of the table; a ratio is TRL / ours."""

    work: str
    cpu_ratio: float
    wall_ratio: float
    peak_memory_ratio: float
    max_relative_loss_difference: float
    loss_floor: float | None
    """Largest relative loss difference between TRL's own two ways of batching the same rows; None where not asked."""
    step_count: int
    """Steps whose losses are compared; the first costs nothing here."""
    batch_size: int
    row_token_count: int
    """Of all rows of the counted steps, each with its demonstrations; what ``tokens`` of a side would be if it trained
    every row alone."""
    precision: Precision
    device: str
    gradient_checkpointing: bool
    """On both sides."""
    trl_settings: dict[str, Any]
    trl: Spent
    ours: Spent


class Side:
    """A process that trains, waiting for its turn after every segment."""

    def __init__(self, name: str, job: trainers.Job, segments: Sequence[int]) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_train, args=(theirs, name, job, tuple(segments)), daemon=True)
        self._process.start()
        theirs.close()
        self._told()

    def turn(self) -> Spent:
        """Train for one segment; return what it cost."""
        self._connection.send("go")
        spent: Spent = self._told()
        return spent

    def losses(self) -> list[float]:
        """Return the loss of every step, after the last turn."""
        losses: list[float] = self._told()
        return losses

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join()

    def _told(self) -> Any:
        answer = self._connection.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


def _train(connection: Connection, name: str, job: trainers.Job, segments: tuple[int, ...]) -> None:
    """Train in this process, and tell what every segment cost and, at the end, the losses."""
    import torch

    torch.set_num_threads(job.threads)
    model = job.load()
    turns = _Turns(connection, segments, job.device)
    model.get_input_embeddings().register_forward_hook(lambda _, ids, __: turns.count(tokens=ids[0].numel()))
    connection.send("ready")
    try:
        turns.wait()
        if name == OURS:
            losses = trainers.train_ours(model, job, turns.after_step)
        else:
            losses = trainers.train_trl(model, job, turns.after_step, padding_free=name == TRL["padding-free"])
        connection.send(losses)
    except (EOFError, BrokenPipeError):  # the parent has seen enough
        return
    except Exception as error:  # told to the parent, which raises it
        connection.send(error)


class _Turns:
    """Stops a trainer after every segment and measures what it cost."""

    def __init__(self, connection: Connection, segments: tuple[int, ...], device: str) -> None:
        self._connection = connection
        self._left = list(segments)
        self._on_cuda = device != "cpu"
        self._tokens = 0

    def count(self, *, tokens: int) -> None:
        self._tokens += tokens

    def wait(self) -> None:
        self._connection.recv()
        self._tokens, self._cpu, self._wall = 0, time.process_time(), time.perf_counter()

    def after_step(self) -> None:
        import torch

        self._left[0] -= 1
        if self._left[0]:
            return
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if self._on_cuda:
            torch.cuda.synchronize()
            peak = torch.cuda.max_memory_allocated() / 2**20
        spent = Spent(
            cpu_seconds=time.process_time() - self._cpu,
            wall_seconds=time.perf_counter() - self._wall,
            peak_megabytes=peak,
            tokens=self._tokens,
        )
        self._connection.send(spent)
        self._left.pop(0)
        if self._left:
            self.wait()


def segments_of(step_count: int) -> list[int]:
    """Return the steps of each turn: a first one that is not counted, then a few at a time."""
    rest = step_count - 1
    return [1, *([SEGMENT_STEPS] * (rest // SEGMENT_STEPS)), *([rest % SEGMENT_STEPS] if rest % SEGMENT_STEPS else [])]


def faster_trl(job: trainers.Job) -> str:
    """Return which way of batching costs TRL less time on one of its first steps: a processor's, or a device's."""
    # A device prepares kernels in some steps and not in others.
    turns = 1 if job.device == "cpu" else min(5, job.settings.step_count(len(job.rows.rows)) - 1)
    costs, unit = {}, "CPU s" if job.device == "cpu" else "s"
    for name in TRL.values():
        with closing(Side(name, job, [1] * (turns + 2))) as side:  # it stops before the last step
            side.turn()
            spent = [side.turn() for _ in range(turns)]
            costs[name] = min(turn.cpu_seconds if job.device == "cpu" else turn.wall_seconds for turn in spent)
    print("a step: " + ", ".join(f"{name} {cost:.3g} {unit}" for name, cost in costs.items()), flush=True)
    return min(costs, key=lambda name: costs[name])


def largest_difference(left: Sequence[float], right: Sequence[float]) -> float:
    """Return the largest relative difference of two runs' losses."""
    return max(abs(one - other) / abs(one) for one, other in zip(left, right, strict=True))


def losses_batched_otherwise(job: trainers.Job, trl: str, step_count: int) -> list[float]:
    """Return the losses of TRL with its other way of batching rows: the same sums in another order."""
    (other,) = set(TRL.values()) - {trl}
    with closing(Side(other, job, [step_count])) as side:
        side.turn()
        return side.losses()


def compare(title: str, job: trainers.Job, trl: str, step_count: int, *, floor: bool = False) -> Outcome:
    """Train on both sides in turns, the first alternating, and compare cost and losses."""
    segments = segments_of(step_count)
    spent = {trl: Spent(), OURS: Spent()}
    with closing(Side(trl, job, segments)) as theirs, closing(Side(OURS, job, segments)) as ours:
        sides = {trl: theirs, OURS: ours}
        for number in range(len(segments)):
            for name in sorted(sides, reverse=number % 2 == 0):
                cost = sides[name].turn()
                before = spent[name] if number > 1 else Spent()
                spent[name] = Spent(
                    cpu_seconds=before.cpu_seconds + cost.cpu_seconds,
                    wall_seconds=before.wall_seconds + cost.wall_seconds,
                    peak_megabytes=max(before.peak_megabytes, cost.peak_megabytes),
                    tokens=before.tokens + cost.tokens,
                )
        losses = [side.losses() for side in (theirs, ours)]
    return Outcome(
        title,
        spent[trl].cpu_seconds / spent[OURS].cpu_seconds,
        spent[trl].wall_seconds / spent[OURS].wall_seconds,
        spent[trl].peak_megabytes / spent[OURS].peak_megabytes,
        largest_difference(*losses),
        largest_difference(losses[0], losses_batched_otherwise(job, trl, step_count)) if floor else None,
        step_count,
        job.settings.batch_size,
        sum(len(row) for row in job.ordered[job.settings.batch_size :]),
        job.precision,
        job.device,
        False,
        trainers.trl_settings(job, padding_free=trl == TRL["padding-free"]),
        spent[trl],
        spent[OURS],
    )


def job_of(work: Work, options: argparse.Namespace) -> trainers.Job:
    """Return what both sides train for a work."""
    from spillover.models.tokenizer import load_tokenizer
    from spillover.prompts.encoding import Encoder
    from spillover.training.rows import encode_rows

    cache, folder = default_cache(), Path(options.model)
    is_untrained = options.untrained or work.is_large
    model = folder if is_untrained and folder.is_dir() else resolve_model(options.model, cache=cache).path
    if options.release:
        suite, name = load_suite("genpower", folder=options.release), work.release_task
    else:
        suite, name = load_suite("pocket"), work.pocket_task
    task = suite.task(name)
    prepared = prepare(suite, task, cache=cache)
    examples, _ = protocol_rows(prepared, split="train", protocol="clean")
    settings = TrainingSettings(epochs=1, batch_size=options.batch_size)
    rows = encode_rows(
        Encoder(load_tokenizer(model)),
        suite.template(task, 1, cache=cache),
        examples[: options.steps * options.batch_size],
        choose(prepared.demonstrations, work.demonstrations, seed=0),
        settings,
    )
    shape = LARGE if work.is_large else {} if is_untrained else None
    return trainers.Job(model, rows, settings, options.precision, options.device, options.threads, shape)


def show(outcome: Outcome, trl: str) -> None:
    """Print one row, with what both sides spent below it."""
    floor = "" if outcome.loss_floor is None else f", of TRL's two ways of batching {outcome.loss_floor:.1e}"
    print(
        f"{outcome.work}: TRL / ours: CPU {outcome.cpu_ratio:.1f}, wall {outcome.wall_ratio:.1f}, peak memory "
        f"{outcome.peak_memory_ratio:.2f}; largest relative loss difference {outcome.max_relative_loss_difference:.1e}"
        f"{floor} ({outcome.step_count} steps of {outcome.batch_size} rows, {outcome.precision} on {outcome.device}, "
        "no gradient checkpointing)"
    )
    for name, spent in ((trl, outcome.trl), (OURS, outcome.ours)):
        print(
            f"  {name}: {spent.cpu_seconds:.1f} CPU s, {spent.wall_seconds:.1f} s, {spent.peak_megabytes:.0f} MB peak, "
            f"{spent.tokens:,} tokens run, {outcome.row_token_count / spent.wall_seconds:,.0f} tokens of rows a second",
            flush=True,
        )


def parsed() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="3 steps of 4 rows: a few minutes")
    options.add_argument("--only", choices=WORKS, nargs="+", help="these works (default: those of the given model)")
    options.add_argument("--steps", type=int, help="optimizer steps (default 20, the first not counted)")
    options.add_argument("--batch-size", type=int, help="rows of a step, one micro-batch for TRL (default 16)")
    options.add_argument("--trl", choices=["fastest", *TRL], default="fastest", help="how TRL batches rows")
    options.add_argument(
        "--floor", action="store_true", help="also how far TRL's losses are from its own, batched otherwise"
    )
    options.add_argument("--json", type=Path, help="write the outcomes here")
    options.add_argument("--model", default="smollm2-135m-instruct", help="a name, a folder or a hub id")
    options.add_argument("--untrained", action="store_true", help="weights at random: the folder may lack them")
    options.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="of the passes")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--release", type=Path, help="the genpower release's folder, in place of suite pocket")
    chosen = options.parse_args()
    chosen.steps = chosen.steps or (3 if chosen.quick else 20)
    chosen.batch_size = chosen.batch_size or (4 if chosen.quick else 16)
    chosen.precision = preferred_precision() if chosen.precision == "auto" else chosen.precision
    if chosen.steps < 2:
        options.error("--steps: the first step is not counted; give at least 2")
    return chosen


def main() -> None:
    options = parsed()
    outcomes = []
    for name, work in WORKS.items():
        if name in options.only if options.only else not work.is_large:
            job = job_of(work, options)
            trl = faster_trl(job) if options.trl == "fastest" else TRL[options.trl]
            task = work.release_task if options.release else work.pocket_task
            outcomes.append(compare(work.title.format(task), job, trl, options.steps, floor=options.floor))
            show(outcomes[-1], trl)
    if options.json:
        text = json.dumps([asdict(outcome) for outcome in outcomes], indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
