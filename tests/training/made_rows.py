"""Made rows of token ids for the tiny models, and a run on them."""

import numpy as np
import torch

from spillover.prompts.encoding import common_prefix_length
from spillover.training.constraints.constraint import Material
from spillover.training.fit import fit
from spillover.training.optimization import TrainingSettings
from spillover.training.rows import TrainingRow, TrainingRows
from spillover.training.settings import Recipe
from tests.models.tiny import VOCABULARY, tiny_model


def made_rows(shared: int, count: int = 6, seed: int = 0) -> TrainingRows:
    draw = np.random.default_rng(seed)

    def ids(length):
        return tuple(int(token) for token in draw.integers(3, VOCABULARY, length))

    head = ids(shared)
    rows = tuple(TrainingRow(head + ids(draw.integers(1, 9)), (*ids(draw.integers(1, 4)), 2)) for _ in range(count))
    return TrainingRows(rows, common_prefix_length([row.prompt for row in rows]), {})


GENERAL = tuple(TrainingRow(row.prompt[:1], row.prompt[1:]) for row in made_rows(4, 5, seed=7).rows)


def trained(recipe=None, *, architecture="llama", rows=None, replayed=(), **settings):
    """Train a tiny model and return it with its first weights by name, the constraint and the log."""
    recipe = Recipe.model_validate(recipe or {})
    model = tiny_model(architecture, scale=1)
    recipe.parameters.select(model, seed=0)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    constraint = recipe.constraint.build(Material(GENERAL, replayed))
    options = {"learning_rate": 1e-2, "batch_size": 3, "epochs": 2, **settings}
    log = fit(model, rows or made_rows(5), TrainingSettings(**options), seed=3, constraint=constraint)
    return model, before, constraint, log


def moved(model, before) -> dict[str, torch.Tensor]:
    """Return which entries of each tensor differ from before."""
    return {name: weight.detach() != before[name] for name, weight in model.named_parameters()}
