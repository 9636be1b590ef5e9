"""Two sides of a benchmark, each in a process of its own: what a piece of work costs and what comes out."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from spillover.artifacts.cache import default_cache
from spillover.models.precision import Precision, preferred_precision
from spillover.models.resolve import resolve_model

LM_EVAL, OURS = "lm-eval", "spillover"


@dataclass(frozen=True, slots=True)
class Setup:
    """What both sides share."""

    model: Path
    precision: Precision
    threads: int
    lm_eval_batch: int


@dataclass
class Spent:
    """What one side spent on a work."""

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_megabytes: float = 0.0
    """Of the whole process: interpreter, libraries, weights and work."""
    tokens: int = 0
    """Token positions that went through the layers, padding included."""
    projected: int = 0
    """Positions at which the vocabulary was projected."""
    matrix_rate_share: float = 0.0
    """Of the machine's measured rate of matrix products in this precision; attention's products are not counted."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of the table; a ratio is lm-eval / ours."""

    work: str
    cpu_ratio: float
    wall_ratio: float
    peak_memory_ratio: float
    max_abs_difference: float
    argmax_equal: bool
    item_count: int
    precision: Precision
    lm_eval_batch: int
    lm_eval: Spent
    ours: Spent


Run = Callable[[str, Any, Any], Any]
"""(side, model with tokenizer, question) to the answer; runs in the side's process."""


class Side:
    """A process that holds the model and answers one question after the other."""

    def __init__(self, name: str, run: Run, setup: Setup) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, run, setup), daemon=True)
        self._process.start()
        theirs.close()
        self._connection.recv()
        self.spent = Spent()

    def ask(self, question: Any) -> Any:
        """Return the side's answer, and add what it cost to ``spent``."""
        self._connection.send(question)
        answer, spent = self._connection.recv()
        if isinstance(answer, Exception):
            raise answer
        for name, value in spent.items():
            before = getattr(self.spent, name)
            setattr(self.spent, name, max(before, value) if name == "peak_megabytes" else before + value)
        return answer

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join()


def _serve(connection: Connection, side: str, run: Run, setup: Setup) -> None:
    import torch

    from spillover.models.load import load_model
    from spillover.models.tokenizer import load_tokenizer

    torch.set_num_threads(setup.threads)
    model = load_model(setup.model, dtype=setup.precision, device="cpu")
    served = Served(model, load_tokenizer(setup.model), setup)
    counts = {"tokens": 0, "projected": 0}
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    embedding.register_forward_hook(lambda _, ids, __: counts.update(tokens=counts["tokens"] + ids[0].numel()))
    head.register_forward_hook(
        lambda _, __, out: counts.update(projected=counts["projected"] + out.numel() // out.shape[-1])
    )
    connection.send("ready")
    while True:
        try:
            question = connection.recv()
        except EOFError:
            return
        counts.update(tokens=0, projected=0)
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            answer = run(side, served, question)
        except Exception as error:  # told to the parent, which raises it
            answer = error
        spent = {
            "cpu_seconds": time.process_time() - cpu,
            "wall_seconds": time.perf_counter() - wall,
            "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            **counts,
        }
        connection.send((answer, spent))


class Served:
    """A loaded model and, made when first asked for, lm-eval's own model around it."""

    def __init__(self, model: Any, tokenizer: Any, setup: Setup) -> None:
        self.model, self.tokenizer, self.setup = model, tokenizer, setup
        self.kept: dict[str, Any] = {}
        self._lm: Any = None

    @property
    def lm(self) -> Any:
        """lm-eval's own model around the same weights."""
        if self._lm is None:
            from lm_eval.models.huggingface import HFLM

            batch = self.setup.lm_eval_batch
            self._lm = HFLM(pretrained=self.model, tokenizer=self.tokenizer, backend="causal", batch_size=batch)
        return self._lm


def compare(
    work: str,
    run: Run,
    questions: Sequence[Any],
    setup: Setup,
    *,
    warm_up: Any,
    item_count: int,
    differences: Callable[[Any, Any], tuple[float, bool]],
) -> Outcome:
    """Ask both sides every question in turn, the first alternating, and compare cost and answers.

    Args:
        warm_up: A small question asked first, so that imports and first calls are not counted.
    """
    with closing(Side(LM_EVAL, run, setup)) as theirs, closing(Side(OURS, run, setup)) as ours:
        for side in (theirs, ours):
            side.ask(warm_up)
            side.spent = Spent()
        largest, equal = 0.0, True
        for number, question in enumerate(questions):
            order = (theirs, ours) if number % 2 == 0 else (ours, theirs)
            answers = {side: side.ask(question) for side in order}
            difference, same = differences(answers[theirs], answers[ours])
            largest, equal = max(largest, difference), equal and same
    _rate(setup, theirs.spent, ours.spent)
    return Outcome(
        work,
        theirs.spent.cpu_seconds / ours.spent.cpu_seconds,
        theirs.spent.wall_seconds / ours.spent.wall_seconds,
        theirs.spent.peak_megabytes / ours.spent.peak_megabytes,
        largest,
        equal,
        item_count,
        setup.precision,
        setup.lm_eval_batch,
        theirs.spent,
        ours.spent,
    )


def _rate(setup: Setup, *sides: Spent) -> None:
    """Fill in each side's share of the measured matrix rate: products of the linear layers per processor second."""
    from safetensors import safe_open

    from spillover.models.fingerprint import read_json, weight_files

    config = read_json(setup.model / "config.json")
    matrices = 0
    for file in weight_files(setup.model):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (not a mapping)
                shape = tensors.get_slice(name).get_shape()
                matrices += shape[0] * shape[1] if len(shape) == 2 and config["vocab_size"] not in shape else 0
    rate = matrix_rate(setup.precision, config["hidden_size"], config["intermediate_size"], setup.threads)
    for spent in sides:
        products = matrices * spent.tokens + config["vocab_size"] * config["hidden_size"] * spent.projected
        spent.matrix_rate_share = 2 * products / spent.cpu_seconds / rate


def matrix_rate(precision: Precision, hidden: int, intermediate: int, threads: int) -> float:
    """Return operations per processor second of the model's largest layer on 512 tokens: the best of nine."""
    import torch

    torch.set_num_threads(threads)
    dtype = getattr(torch, precision)
    rows, weight = torch.ones(512, hidden, dtype=dtype), torch.ones(intermediate, hidden, dtype=dtype)
    best = float("inf")
    for _ in range(9):
        start = time.process_time()
        torch.nn.functional.linear(rows, weight)
        best = min(best, time.process_time() - start)
    return 2 * 512 * hidden * intermediate / best


def parser(
    description: str, works: Sequence[str], *, items: int, quick_items: int, lm_eval_batch: int
) -> argparse.ArgumentParser:
    """Return the options that every benchmark takes."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--quick", action="store_true", help=f"{quick_items} items a cell: a few minutes")
    options.add_argument("--items", type=int, help=f"items a cell (default {items})")
    options.add_argument("--only", choices=works, help="one work of the table")
    options.add_argument("--json", type=Path, help="write the outcomes here")
    options.add_argument("--model", default="smollm2-135m-instruct", help="a name, a folder or a hub id")
    options.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--lm-eval-batch", type=int, default=lm_eval_batch, help="rows of one lm-eval batch")
    options.set_defaults(default_items=items, quick_items=quick_items)
    return options


def setup_of(options: argparse.Namespace) -> Setup:
    """Return what both sides share, as the options say it."""
    model = resolve_model(options.model, cache=default_cache()).path
    precision = preferred_precision() if options.precision == "auto" else options.precision
    return Setup(model, precision, options.threads, options.lm_eval_batch)


def item_count_of(options: argparse.Namespace) -> int:
    """Return how many items a cell has."""
    return options.items or (options.quick_items if options.quick else options.default_items)


def show(outcome: Outcome) -> None:
    """Print one row, with what both sides spent below it."""
    print(
        f"{outcome.work}: lm-eval / ours: CPU {outcome.cpu_ratio:.1f}, wall {outcome.wall_ratio:.1f}, peak memory "
        f"{outcome.peak_memory_ratio:.2f}; largest difference {outcome.max_abs_difference:.1e}, "
        f"argmax {'equal' if outcome.argmax_equal else 'DIFFERENT'} ({outcome.item_count} items, {outcome.precision})"
    )
    for name, spent in ((f"lm-eval, batch {outcome.lm_eval_batch}", outcome.lm_eval), (OURS, outcome.ours)):
        print(
            f"  {name}: {spent.cpu_seconds:.1f} CPU s, {spent.wall_seconds:.1f} s, "
            f"{spent.peak_megabytes:.0f} MB peak, {spent.tokens:,} tokens run, {spent.projected:,} projected, "
            f"{spent.matrix_rate_share:.0%} of the matrix rate",
            flush=True,
        )


def write(outcomes: Sequence[Outcome], path: Path | None) -> None:
    """Write the outcomes as a JSON list, if a file was named."""
    if path is not None:
        path.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n", encoding="utf-8")
