import json
import socket

import pytest
import torch
from safetensors.torch import load_file

from spillover.store.store import Store
from tests.robust.processes import start
from tests.study.test_recipes import write_study
from tests.study.test_runner import run

# Of 13 rows in batches of 4 the last has one row, so that one of two processes has none.
VARIANTS = """
variants:
  - {name: sft, train_on: [first], sizes: [13]}
  - {name: fticl, train_on: [first], sizes: [13], recipe: {demonstrations: 2}}
  - {name: kl, train_on: [first], sizes: [13], recipe: {constraint: kl, parameters: {kind: lora, rank: 2}}}
  - {name: replay, train_on: [first], sizes: [13], recipe: {constraint: replay}}
  - {name: half, train_on: [first], sizes: [13], recipe: {constraint: {kind: half, rounds: 2}}}
  - {name: spider, train_on: [first], sizes: [13], recipe: {constraint: spider}}
shots: [0]
test_on: [first]
"""

# Stands in for Weights & Biases: writes down which process says what.
WANDB = """
import json, os
from types import SimpleNamespace

def say(**said):
    with open(os.environ["MADE_WANDB"], "a") as opened:
        opened.write(json.dumps({"rank": os.environ["RANK"], **said}) + chr(10))

class Run:
    def __init__(self, name):
        self.name = name
    def log(self, values, step):
        say(name=self.name, step=step, loss=values["loss"])
    def log_artifact(self, artifact):
        assert os.environ["RANK"] == "0" and artifact.path.endswith("index.html")
    def finish(self):
        if self.name != "report":
            say(name=self.name, step="finished")

class Artifact:
    def __init__(self, name, type):
        pass
    def add_file(self, path):
        self.path = path

def init(project, name, **options):
    return Run(name)

config = SimpleNamespace(update=lambda values, allow_val_change: None)
"""


def made_wandb(folder):
    """Install the stand-in into a folder; return the variables that make processes use it."""
    for path, text in (
        ("wandb/__init__.py", WANDB),
        ("wandb-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: wandb\nVersion: 1\n"),
    ):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text(text)
    return {"PYTHONPATH": folder, "MADE_WANDB": folder / "said.jsonl"}


def start_processes(path, root, count=2, **more):
    """Start the processes that `accelerate launch --cpu --num_processes 2 -m spillover run` starts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["run", str(path), "--store", str(root), "--threads", "1"]
    arguments += ["--device", "cpu", "--report", str(root.parent / "report")]
    processes = []
    for rank in range(count):
        launched = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1"}
        launched["OMP_NUM_THREADS"] = 1
        environment = {name: str(value) for name, value in {**launched, **more, "MASTER_PORT": port}.items()}
        said = path.parent / f"said-{root.name}-{rank}"
        processes.append(start(arguments, cache=path.parent / "cache", said=said, environment=environment))
    return processes


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("follow")
    path = write_study(folder, VARIANTS)
    text = path.read_text().replace("test_limit: 10", "test_limit: 2")
    # At a small rate AdamW does not blow rounding up: it divides each gradient, however small, by its own size.
    path.write_text(text.replace("learning_rate: 0.01", "learning_rate: 0.001") + "track: wandb\n")
    processes = start_processes(path, folder / "together", **made_wandb(folder / "packages"))
    study, alone, _ = run(path, folder / "alone")
    codes, printed = zip(*(process.end() for process in processes), strict=True)
    assert codes == (0, 0), printed
    return study, alone, Store(folder / "together"), printed


def test_two_processes_learn_what_one_does_on_the_same_batches(both):
    study, alone, together, _ = both
    for step in study.finetunes:
        logs = [json.loads(store.file(step, "training.json").read_text()) for store in (alone, together)]
        assert logs[1]["losses"] == pytest.approx(logs[0]["losses"], rel=1e-5), step.name
        assert logs[1]["target_token_count"] == logs[0]["target_token_count"]
        # Dealt out to two processes, the same rows have one more shared prefix in each of the first three batches.
        prefix = logs[0]["shared_prefix_token_count"]
        assert logs[1]["forward_token_count"] == logs[0]["forward_token_count"] + 3 * prefix
        ours, theirs = (load_file(next(step.weights(store).glob("*.safetensors"))) for store in (together, alone))
        for name, weight in theirs.items():
            assert torch.allclose(ours[name], weight, rtol=0, atol=1e-5), (step.name, name)
        for fact in {"touched_share", "replayed_row_count", "moving_shares"} & logs[0]["recipe_report"].keys():
            assert logs[1]["recipe_report"][fact] == pytest.approx(logs[0]["recipe_report"][fact], rel=1e-2), step.name


def test_only_the_leading_process_speaks_and_writes(both):
    study, alone, together, printed = both
    leading, other = printed
    assert "report:" in leading
    assert leading.count("fine-tune sft/first/13/0") == 1
    assert other == ""
    kinds = {folder.name for folder in together.root.iterdir()}
    assert kinds == {folder.name for folder in alone.root.iterdir()}
    assert all(together.has(step) for step in study.steps)


def test_only_the_leading_process_tracks_and_finishes_each_training_before_the_next(both):
    study, _, together, _ = both
    said = [json.loads(line) for line in (together.root.parent / "packages" / "said.jsonl").read_text().splitlines()]
    assert {line["rank"] for line in said} == {"0"}
    expected = []
    for step in study.finetunes:
        log = json.loads(together.file(step, "training.json").read_text())
        expected += [(step.variant, number, loss) for number, loss in enumerate(log["losses"], start=1)]
        expected.append((step.variant, "finished", None))
    assert [(line["name"], line["step"], line.get("loss")) for line in said] == expected


def test_a_users_mistake_ends_all_processes_with_one_line(tmp_path):
    path = write_study(tmp_path, VARIANTS.replace("rounds: 2", "round: 2"))
    processes = start_processes(path, tmp_path / "store")
    codes, (message, silence) = zip(*(process.end() for process in processes), strict=True)
    assert codes == (2, 0)
    assert "unknown setting 'round'; did you mean 'rounds'" in message
    assert silence == ""


FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": 2, "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}
"""What `accelerate launch --use_fsdp --fsdp_version 2` tells its processes."""


def test_a_model_that_is_split_over_processes_learns_what_a_whole_one_does(both, tmp_path):
    study, alone, *_ = both
    path = alone.root.parent / "split.yaml"
    lines = (alone.root.parent / "study.yaml").read_text().splitlines(keepends=True)
    left_out = ("name: fticl", "name: replay", "name: half", "name: spider", "track:")
    path.write_text("".join(line for line in lines if not any(word in line for word in left_out)))
    processes = start_processes(path, tmp_path / "split", **FSDP)
    codes, printed = zip(*(process.end() for process in processes), strict=True)
    assert codes == (0, 0), printed
    split, compared = Store(tmp_path / "split"), [step for step in study.finetunes if step.name in ("sft", "kl")]
    for step in compared:
        logs = [json.loads(store.file(step, "training.json").read_text()) for store in (alone, split)]
        assert logs[1]["losses"] == pytest.approx(logs[0]["losses"], rel=1e-5), step.name
        ours, theirs = (load_file(next(step.weights(store).glob("*.safetensors"))) for store in (split, alone))
        assert ours.keys() == theirs.keys()
        for name, weight in theirs.items():
            assert torch.allclose(ours[name], weight, rtol=0, atol=1e-5), (step.name, name)


def test_a_recipe_that_needs_whole_tensors_is_refused_before_anything_is_trained(tmp_path):
    path = write_study(tmp_path, VARIANTS)
    processes = start_processes(path, tmp_path / "store", **FSDP)
    codes, (message, silence) = zip(*(process.end() for process in processes), strict=True)
    assert codes == (2, 0)
    assert (
        "variant 'spider': constraint 'spider' needs whole tensors, FSDP splits them over processes; launch with "
        "--multi_gpu instead of --use_fsdp, or leave it out" in message
    )
    assert silence == ""
    assert not list((tmp_path / "store").glob("finetune/*"))


def test_a_launch_that_the_loop_cannot_follow_is_refused_at_the_start_with_one_line(tmp_path):
    processes = start_processes(tmp_path / "study.yaml", tmp_path / "store", ACCELERATE_USE_DEEPSPEED="true")
    codes, (message, silence) = zip(*(process.end() for process in processes), strict=True)
    assert codes == (2, 0)
    assert message.startswith("error: accelerate launch was told to use deepspeed, which trainings here do not; ")
    assert message.count("\n") == 1
    assert silence == ""
    assert not (tmp_path / "store").exists()
