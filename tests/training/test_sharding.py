"""Two processes train tiny models that are split over them; a single one trains the same models whole.

In the default tier `tests/study/test_follow.py` does it for one full fine-tuning and one of LoRA.
"""

import json
import os
import socket
from contextlib import nullcontext

import pytest
import torch
from safetensors.torch import load_file
from torch import distributed
from transformers import AutoModelForCausalLM

from spillover.models.tokenizer import quiet_transformers
from spillover.training.checkpoints import Checkpoints
from spillover.training.constraints.constraint import Material
from spillover.training.fit import fit
from spillover.training.optimization import TrainingSettings
from spillover.training.probe import Watch
from spillover.training.settings import Recipe, needs_whole_tensors
from spillover.training.sharding import sharded
from tests.models.tiny import tiny_model
from tests.robust.processes import SERVER
from tests.training.made_rows import GENERAL, made_rows

# At a small rate AdamW does not blow rounding up: it divides each gradient, however small, by its own size. Of 7 rows
# in batches of 3 the last has one row, so that one of two processes has none.
SETTINGS = {"learning_rate": 1e-3, "batch_size": 3, "epochs": 2}
LORA = {"kind": "lora", "rank": 3}
BUDGET = {"constraint": {"kind": "generality-budget", "rise": 0.01, "every": 1}}
RUNS = {
    "full": ({}, {}),
    "untied": ({}, {"architecture": "qwen2"}),
    "clipped": ({}, {"max_gradient_norm": 0.01}),
    "recomputed": ({}, {"gradient_checkpointing": True}),
    "last-layers": ({"parameters": {"kind": "last-layers", "count": 1}}, {}),
    "lora": ({"parameters": LORA}, {}),
    "dora": ({"parameters": {**LORA, "use_dora": True}}, {}),
    "pissa": ({"parameters": {**LORA, "init_lora_weights": "pissa"}}, {}),
    "kl": ({"constraint": "kl"}, {}),
    "replay": ({"constraint": {"kind": "replay", "share": 0.4}}, {}),
    "l2-sp": ({"constraint": {"kind": "l2-sp", "strength": 10}}, {}),
    "l2-sp of lora": ({"constraint": {"kind": "l2-sp", "strength": 10}, "parameters": LORA}, {}),
    "half": ({"constraint": {"kind": "half", "rounds": 3}}, {}),
    "budget": (BUDGET, {"architecture": "qwen2", "learning_rate": 3e-3}),  # used up by the third of six steps
}
"""Names to a recipe and its settings."""
RESUMED = ("full", "budget")


class KilledError(Exception):
    """Stands for the death of the processes."""


def run(name, folder, *, shards=False, checkpoints=None, killed_at=None):
    """Train, save as a study does, and keep what the run says of itself."""
    recipe, options = RUNS[name]
    recipe, options = Recipe.model_validate(recipe), {**SETTINGS, **options}
    model = tiny_model(options.pop("architecture", "llama"), scale=1)
    adapter = recipe.parameters.select(model, seed=0)

    def progress(done, count, loss):
        if done == killed_at:
            raise KilledError

    with sharded(model, "cpu") if shards else nullcontext(model) as trained:
        held = sum(getattr(part, "_local_tensor", part).numel() for part in trained.parameters())
        log = fit(
            trained,
            made_rows(5, 7),
            TrainingSettings(**options),
            seed=3,
            constraint=recipe.constraint.build(Material(GENERAL)),
            watch=Watch(GENERAL, 2),
            checkpoints=checkpoints,
            progress=progress,
        )
    if not shards or distributed.get_rank() == 0:
        if adapter:
            adapter.save(folder / name, base_name="tiny")
        else:
            with quiet_transformers():
                model.save_pretrained(folder / name)
        facts = {"held_count": held, "losses": log.losses, "forgetting": log.forgetting, **log.recipe_report}
        (folder / f"{name}.json").write_text(json.dumps(facts))


def process(rank, port, folder):
    """Train everything as one of two processes; then be killed, and go on."""
    torch.set_num_threads(1)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_RANK": rank, "RANK": rank, "WORLD_SIZE": 2}
    os.environ.update({key: str(value) for key, value in place.items()})
    distributed.init_process_group("gloo")
    for name in RUNS:
        run(name, folder / "two", shards=True)
    for name in RESUMED:
        checkpoints = Checkpoints(folder / "checkpoints" / name, seconds=0)
        with pytest.raises(KilledError):
            run(name, folder, shards=True, checkpoints=checkpoints, killed_at=2)
        distributed.barrier()
        kept = Checkpoints(folder / "checkpoints" / name, seconds=1e9)
        run(name, folder / "resumed", shards=True, checkpoints=kept)
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return where two processes and a lone one have left their trainings."""
    folder = tmp_path_factory.mktemp("sharding")
    for name in ("one", "two", "resumed"):
        (folder / name).mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [SERVER.Process(target=process, args=(rank, port, folder)) for rank in range(2)]
    for started in both:
        started.start()
    for started in both:
        started.join()
    assert [started.exitcode for started in both] == [0, 0]
    for name in RUNS:
        run(name, folder / "one")
    return folder


def left(folder, name):
    """Return what a training said of itself and the tensors it saved."""
    return json.loads((folder / f"{name}.json").read_text()), load_file(next((folder / name).glob("*.safetensors")))


@pytest.mark.long
@pytest.mark.parametrize("name", RUNS)
def test_a_split_model_learns_what_a_whole_one_does(folder, name):
    (facts, weights), (expected, whole_weights) = left(folder / "two", name), left(folder / "one", name)
    assert facts["losses"] == pytest.approx(expected["losses"], rel=1e-5)
    for ours, theirs in zip(facts["forgetting"], expected["forgetting"], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    for fact in ("trained_share", "touched_share", "stopped_early"):
        assert facts.get(fact) == expected.get(fact)
    assert weights.keys() == whole_weights.keys()
    for tensor, values in whole_weights.items():
        assert torch.allclose(weights[tensor], values, rtol=0, atol=1e-5), tensor


@pytest.mark.long
@pytest.mark.parametrize("name", ["clipped", "kl", "replay", "l2-sp", "half"])
def test_what_is_compared_is_not_plain_training(folder, name):
    plain, other = left(folder / "two", "full")[1], left(folder / "two", name)[1]
    assert any(not torch.allclose(other[tensor], plain[tensor], rtol=0, atol=1e-4) for tensor in plain)


@pytest.mark.long
def test_a_budget_that_is_used_up_stops_all_processes(folder):
    facts, _ = left(folder / "two", "budget")
    assert facts["stopped_early"]
    assert len(facts["losses"]) == 3


@pytest.mark.long
def test_each_process_holds_half_of_every_weight(folder):
    for name in RUNS:
        held, whole_count = left(folder / "two", name)[0]["held_count"], left(folder / "one", name)[0]["held_count"]
        assert whole_count / 2 <= held <= whole_count * 0.52  # of an odd number of rows the first process has one more


@pytest.mark.long
def test_the_saved_folder_is_a_model_that_anyone_loads(folder):
    config = json.loads((folder / "two" / "full" / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    loaded = AutoModelForCausalLM.from_pretrained(folder / "two" / "full").state_dict()
    for name, values in left(folder / "one", "full")[1].items():
        assert torch.allclose(loaded[name], values, rtol=0, atol=1e-5), name


@pytest.mark.long
@pytest.mark.parametrize("name", RESUMED)
def test_killed_processes_go_on_to_the_weights_of_uninterrupted_ones(folder, name):
    (facts, weights), (expected, whole_weights) = left(folder / "resumed", name), left(folder / "two", name)
    assert facts["losses"] == pytest.approx(expected["losses"], rel=1e-6)
    for tensor, values in whole_weights.items():
        # Rounding may depend on where in memory a matrix lies; lost optimizer state would show at 1e-4.
        assert torch.allclose(weights[tensor], values, rtol=0, atol=1e-7), tensor


@pytest.mark.long
@pytest.mark.parametrize("name", RESUMED)
def test_a_lone_process_goes_on_from_what_two_have_saved(folder, tmp_path, name):
    run(name, tmp_path, checkpoints=Checkpoints(folder / "checkpoints" / name, seconds=1e9))
    (facts, weights), (expected, whole_weights) = left(tmp_path, name), left(folder / "one", name)
    assert facts["losses"] == pytest.approx(expected["losses"], rel=1e-5)
    for tensor, values in whole_weights.items():
        assert torch.allclose(weights[tensor], values, rtol=0, atol=1e-5), tensor


@pytest.mark.parametrize(
    ("recipe", "settings", "part"),
    [
        ({"constraint": "spider"}, {}, "constraint 'spider'"),
        ({"constraint": "magnitude-mask"}, {}, "constraint 'magnitude-mask'"),
        ({"constraint": "random-mask"}, {}, "constraint 'random-mask'"),
        ({}, {"optimizer": "adamw-8bit"}, "training.optimizer adamw-8bit"),
        ({"parameters": {"kind": "lora", "bits": 4}}, {}, "parameters.bits 4"),
        ({"constraint": "half", "demonstrations": 2}, {}, None),
    ],
)
def test_what_needs_whole_tensors_is_named(recipe, settings, part):
    assert needs_whole_tensors(Recipe.model_validate(recipe), TrainingSettings(**settings)) == part
