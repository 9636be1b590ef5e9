"""What lies outside finished steps is damaged, or changes during a run: it is found, or nothing comes of it."""

import os
import random
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from spillover.config import load_study
from spillover.models.adapters import add_adapter
from spillover.models.load import load_model
from spillover.steps.adopt import Adopt
from spillover.steps.predict import Predict
from spillover.steps.prepare import Prepare
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.results import collect
from spillover.study.runner import run_study
from tests.robust.test_faults import damage
from tests.study.made_study import make_study
from tests.study.test_runner import Quiet

VARIANTS = """
variants:
  - {name: whole, model: ./whole}
  - {name: part, adapter: ./part}
shots: [0]
"""
WEIGHTS = "model.safetensors"


def change_weights(file, seed=1, value=None):
    """Write other weights of the same size; ``value`` goes into all of them."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator) if value is None else tensor * 0 + value
        for name, tensor in load_file(file).items()
    }
    aside = file.with_name("aside")
    save_file(tensors, aside, {"format": "pt"})
    aside.replace(file)


def write_adapter(base, folder):
    model = load_model(base, dtype="float32", device="cpu")
    options = {"r": 2, "target_modules": ["q_proj"], "init_lora_weights": False}
    add_adapter(model, options, seed=3).save(folder, base_name="model")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    path = make_study(folder)
    text = path.read_text()
    path.write_text(text[: text.index("variants:")] + VARIANTS.lstrip() + text[text.index("test_limit") :])
    shutil.copytree(folder / "model", folder / "whole")
    change_weights(folder / "whole" / WEIGHTS)
    write_adapter(folder / "model", folder / "part")
    torch.set_num_threads(1)
    assert not run(path).failed
    return path


@pytest.fixture
def study_file(made, tmp_path):
    """A copy of the study, its cache and nothing of its store."""
    shutil.copytree(made.parent, tmp_path / "made", ignore=shutil.ignore_patterns("store"))
    return tmp_path / "made" / "study.yaml"


def load(path):
    return load_study(path, cache=path.parent / "cache", notice=lambda line: None)


def run(path, observer=None):
    study, store = load(path), Store(path.parent / "store")
    return run_study(study, store, Workshop(store), observer or Quiet())


def scores(path):
    results = collect(load(path), Store(path.parent / "store"), command="spillover run")
    return {(s.variant, s.cell, s.metric): (s.example_ids, s.statistics.tolist()) for s in results.scores}


class Meddling(Quiet):
    """Lets something happen when a step of a model begins for the second time."""

    def __init__(self, model, happens):
        super().__init__()
        self.left, self.model, self.happens = 2, model, happens

    def started(self, step):
        if isinstance(step, Predict) and step.model == self.model:
            self.left -= 1
            if self.left == 0:
                self.happens()


CHANGES = {
    "weights": ("whole", lambda folder: change_weights(folder / "whole" / WEIGHTS, seed=2)),
    "settings": (
        "whole",
        lambda folder: (folder / "whole" / "config.json").write_text(
            (folder / "whole" / "config.json").read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-01')
        ),
    ),
    "tokenizer": (
        "whole",
        lambda folder: (folder / "whole" / "tokenizer.json").write_text(
            (folder / "whole" / "tokenizer.json").read_text().replace('"q": ', '"\\u00e9": ')
        ),
    ),
    "adapter": ("part", lambda folder: change_weights(folder / "part" / "adapter_model.safetensors")),
    "gone": ("part", lambda folder: (folder / "part" / "adapter_model.safetensors").unlink()),
    "base": ("base", lambda folder: change_weights(folder / "model" / WEIGHTS, seed=4)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_asked_of_a_model_that_changes_meanwhile_is_not_kept(study_file, made, change):
    model, happens = CHANGES[change]
    before = study_file.parent / "model" / WEIGHTS
    kept = load(study_file)
    outcome = run(study_file, Meddling(model, lambda: happens(study_file.parent)))
    failed = [step for step, _ in outcome.failed if isinstance(step, Predict)]
    asked = [step for step in outcome.computed if isinstance(step, Predict)]
    assert sum(step.model == model for step in asked) == 1  # the one before
    assert {step.model for step in failed} == ({"base", "whole", "part"} if model == "base" else {model})
    assert len(failed) == (8 if model == "base" else 2)
    reason = next(reason for step, reason in outcome.failed if step is failed[0])
    assert str(study_file.parent / {"base": "model"}.get(model, model)) in reason
    assert "since the run began; start it again" in reason
    assert before.is_file()
    store = Store(study_file.parent / "store")
    assert all(store.has(step) != (step in failed) for step in kept.steps if isinstance(step, Predict))


def test_a_model_that_is_written_again_with_the_same_bytes_is_the_same_model(study_file, made):
    def rewrite():
        for path in [*(study_file.parent / "whole").iterdir(), *(study_file.parent / "model").iterdir()]:
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)
            os.utime(path, ns=(1, 1))

    assert not run(study_file, Meddling("whole", rewrite)).failed
    assert scores(study_file) == scores(made)


def test_data_that_change_before_they_are_kept_fail_their_task_alone(study_file):
    class Appending(Quiet):
        def planned(self, steps, work):
            with study_file.with_name("first.jsonl").open("a") as opened:
                opened.write('{"text": "sun", "answer": "up"}\n')

    outcome = run(study_file, Appending())
    assert isinstance(outcome.failed[0][0], Prepare)
    assert outcome.failed[0][1].startswith("task 'first': its data files changed since the run began")
    asked = {step.cell.tested_on for step in outcome.computed if isinstance(step, Predict)}
    assert asked == {"second", "words"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_that_computes_no_numbers_fails_beside_sound_ones(study_file, value):
    change_weights(study_file.parent / "whole" / WEIGHTS, value=value)
    outcome = run(study_file)
    assert {getattr(step, "model", "whole") for step, _ in outcome.failed if isinstance(step, Predict)} == {"whole"}
    assert all("\n" not in reason for _, reason in outcome.failed)
    assert {model for model, _, _ in scores(study_file)} == {"base", "part"}


@pytest.mark.parametrize("error", [KeyError("odd"), OSError("odd"), AssertionError("two\nlines"), RecursionError()])
def test_whatever_is_raised_in_a_step_fails_what_needs_it_and_nothing_else(study_file, made, monkeypatch, error):
    from spillover.models.loaded import LoadedModel

    use = LoadedModel.use

    def breaks(self, weights, adapter=None):
        use(self, weights, adapter)
        if adapter:
            raise error

    monkeypatch.setattr(LoadedModel, "use", breaks)
    outcome = run(study_file)
    assert {step.model for step, _ in outcome.failed if isinstance(step, Predict)} == {"part"}
    assert all("\n" not in reason for _, reason in outcome.failed)
    found = scores(study_file)
    assert found == {key: value for key, value in scores(made).items() if key[0] != "part"}


def test_a_model_that_was_loaded_by_half_is_not_asked_as_another(study_file, made, monkeypatch):
    """Weights are overwritten in place; an adapter is then asked on its base, read again."""
    from spillover.models import loaded

    load_weights_into = loaded.load_weights_into

    def half(model, folder):
        load_weights_into(model, folder)
        if folder.name == "whole":
            raise RuntimeError("the other half cannot be read")

    monkeypatch.setattr(loaded, "load_weights_into", half)
    monkeypatch.setattr(Adopt, "stands_alone", property(lambda self: False))
    outcome = run(study_file)
    assert {step.model for step, _ in outcome.failed if isinstance(step, Predict)} == {"whole"}
    assert scores(study_file) == {key: value for key, value in scores(made).items() if key[0] != "whole"}


@pytest.mark.parametrize("count", [4, pytest.param(40, marks=pytest.mark.long)])
def test_a_damaged_cache_of_fingerprints_changes_nothing(study_file, made, count):
    draw, keys = random.Random(count), [step.key for step in load(study_file).steps]
    memos = sorted((study_file.parent / "cache" / "fingerprints").iterdir())
    for _ in range(count):
        memo = draw.choice(memos)
        damage(memo, draw)
        assert [step.key for step in load(study_file).steps] == keys


def test_weights_of_a_variant_are_digested_once_a_run_however_many_cells_it_is_asked(tmp_path, monkeypatch):
    from spillover.store import store as stores

    path = make_study(tmp_path)
    digested, digest = [], stores._file_digest

    def counted(file):
        if file.suffix == ".safetensors" and "unfinished" not in file.parts:
            digested.append(file)
        return digest(file)

    monkeypatch.setattr(stores, "_file_digest", counted)
    torch.set_num_threads(1)
    study, store = load(path), Store(tmp_path / "store")
    assert not run_study(study, store, Workshop(store), Quiet()).failed
    assert len(set(digested)) == 3
    assert len(digested) == 6  # when it is loaded to be asked, and when it is loaded for its drift
