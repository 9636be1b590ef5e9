"""Measures on this machine, in seconds, what a token of each kind of work costs."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from spillover.models.precision import Precision
from spillover.models.spec import ResolvedModel
from spillover.prompts.encoding import TokenIds
from spillover.steps.speed import Cost, Speed

ROW_COUNT, ROW_LENGTH, NEW_TOKENS = 4, 64, 8
"""A few seconds for a hundred million weights on two cores; rows of a pack are about so long."""


def calibrate(base: ResolvedModel, *, precision: Precision, device: str) -> Speed:
    """Load the base and let it score, generate and learn a few rows of random tokens."""
    from spillover.models.generation import generate
    from spillover.models.load import load_model
    from spillover.models.loaded import LoadedModel
    from spillover.models.scoring import answer_log_likelihoods
    from spillover.training.fit import fit
    from spillover.training.optimization import TrainingSettings
    from spillover.training.rows import TrainingRow, TrainingRows

    kept: list[LoadedModel] = []
    loading = _cost(lambda: kept.append(LoadedModel(base.path, dtype=precision, device=device)))
    model = kept[0].model
    rows = _rows(int(model.config.vocab_size))
    choices = [[row[:1], row[1:2]] for row in rows]

    def write(count: int) -> None:
        generate(model, rows, max_new_tokens=count, end_token_id=-1, is_finished=lambda _: False)

    answer_log_likelihoods(model, rows[:1], choices[:1])  # the first pass of a process is slow
    asked = _cost(lambda: answer_log_likelihoods(model, rows, choices)) * (1 / (ROW_COUNT * ROW_LENGTH))
    first, all_tokens = _cost(lambda: write(1)), _cost(lambda: write(1 + NEW_TOKENS))
    decoded = Cost(
        max(0.0, all_tokens.wall_seconds - first.wall_seconds), max(0.0, all_tokens.cpu_seconds - first.cpu_seconds)
    ) * (1 / (ROW_COUNT * NEW_TOKENS))
    learner = model if precision == "float32" else load_model(base.path, dtype="float32", device=device)
    data = TrainingRows(tuple(TrainingRow(row[:-8], row[-8:]) for row in rows), 0, {})
    settings = TrainingSettings(epochs=1, batch_size=ROW_COUNT)
    trained = _cost(lambda: fit(learner, data, settings, seed=0, precision=precision))
    return Speed(asked, decoded, trained * (1 / (ROW_COUNT * ROW_LENGTH)), loading)


def _rows(vocabulary_size: int) -> list[TokenIds]:
    draws = np.random.default_rng(0).integers(0, vocabulary_size, size=(ROW_COUNT, ROW_LENGTH))
    return [tuple(row) for row in draws.tolist()]


def _cost(work: Callable[[], object]) -> Cost:
    wall, cpu = time.monotonic(), time.process_time()
    work()
    return Cost(time.monotonic() - wall, time.process_time() - cpu)
