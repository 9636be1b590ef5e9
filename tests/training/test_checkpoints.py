import pytest
import torch

from spillover.training.checkpoints import STATE, Checkpoints
from spillover.training.constraints.constraint import Material
from spillover.training.fit import fit
from spillover.training.optimization import TrainingSettings
from spillover.training.probe import Watch
from spillover.training.settings import Recipe
from tests.models.tiny import tiny_model
from tests.training.made_rows import GENERAL, made_rows

SETTINGS = TrainingSettings(learning_rate=1e-2, batch_size=2, epochs=2)


class KilledError(Exception):
    """Stands for the death of the process."""


def train(recipe, *, checkpoints=None, watch=None, killed_at=None):
    model = tiny_model("gpt2", scale=1)  # a model with dropout, whose random numbers must go on as well
    recipe = Recipe.model_validate(recipe)
    recipe.parameters.select(model, seed=0)

    def progress(done, count, loss):
        if done == killed_at:
            raise KilledError

    log = fit(
        model,
        made_rows(4, 8),
        SETTINGS,
        seed=1,
        constraint=recipe.constraint.build(Material(GENERAL)),
        watch=watch,
        checkpoints=checkpoints,
        progress=progress,
    )
    return model, log


@pytest.mark.parametrize(
    "recipe",
    [
        *(
            {},
            {"constraint": "spider"},
            {"constraint": {"kind": "replay", "share": 0.5}},
            {"parameters": "lora", "constraint": "l2-sp"},
        ),
        {"constraint": "half"},
        {"constraint": {"kind": "half", "redraw_every": 3}},  # killed in the second of three rounds
        {"constraint": {"kind": "half", "redraw_every": "epoch"}},
        {"constraint": {"kind": "generality-budget", "rise": 99, "every": 2}},
    ],
)
def test_a_killed_run_goes_on_to_the_weights_of_an_uninterrupted_one(tmp_path, recipe):
    whole, log = train(recipe)
    checkpoints = Checkpoints(tmp_path / "run", seconds=0)
    with pytest.raises(KilledError):
        train(recipe, checkpoints=checkpoints, killed_at=5)
    torch.manual_seed(99)
    model, resumed = train(recipe, checkpoints=Checkpoints(tmp_path / "run", seconds=1e9))
    assert resumed.losses == log.losses
    for ours, theirs in zip(model.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    timed = "extra_seconds"
    assert {**resumed.recipe_report, timed: 0} == {**log.recipe_report, timed: 0}
    checkpoints.remove()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("place", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_state_is_no_state(tmp_path, place, cut):
    whole, log = train({})
    with pytest.raises(KilledError):
        train({}, checkpoints=Checkpoints(tmp_path / "run", seconds=0), killed_at=5)
    path = tmp_path / "run" / STATE
    content = bytearray(path.read_bytes())
    at = int(len(content) * place)
    content[at] ^= 4
    path.write_bytes(bytes(content[:at] if cut else content))
    model, again = train({}, checkpoints=Checkpoints(tmp_path / "run", seconds=1e9))
    assert again.losses == log.losses
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(model.parameters(), whole.parameters(), strict=True))


def test_watching_changes_no_weight_and_starts_at_the_base():
    plain, _ = train({})
    watched, log = train({}, watch=Watch(GENERAL, 3))
    assert [entry["step"] for entry in log.forgetting] == [0, 3, 6, 8]
    assert log.forgetting[0]["kl_to_base"] == pytest.approx(0, abs=1e-6)
    assert log.forgetting[-1]["kl_to_base"] > 1e-3
    base = tiny_model("gpt2", scale=1)
    total = sum(
        torch.nn.functional.cross_entropy(
            base(torch.tensor([[*row.prompt, *row.target[:-1]]])).logits[0], torch.tensor(row.target), reduction="sum"
        ).detach()
        for row in GENERAL
    )
    tokens = sum(len(row.target) for row in GENERAL)
    assert log.forgetting[0]["general_loss"] == pytest.approx(float(total) / tokens, rel=1e-5)
    for ours, theirs in zip(watched.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)
