import fcntl
import json
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from spillover.config import load_study
from spillover.errors import UserError
from spillover.models.fingerprint import tensor_entries
from spillover.models.spec import ResolvedModel
from spillover.questions import answered
from spillover.records import BASE, Relation
from spillover.steps.finetune import Finetune
from spillover.steps.predict import Predict
from spillover.steps.score import Score
from spillover.steps.step import weights_in
from spillover.steps.workshop import Workshop
from spillover.store.identity import digest
from spillover.store.store import Store
from spillover.study.results import collect
from spillover.study.runner import missing_steps, run_study
from tests.robust import processes
from tests.robust.processes import Run
from tests.study.made_study import make_study

GOLDEN = "003e34d6fca4119874f1928f1ed5c8a9d3fc1cc740744e01fde9bbcb9eaa277a"
GOLDEN_TEXT_SCORES = "41458827ed8db0b5b2b7b77d7a0a39af8037cfe3b840ba1b3d1a7dec439ba6a0"


class Quiet:
    """An observer that remembers what it was told."""

    def __init__(self):
        self.failures = []
        self.planned_steps = []

    def planned(self, steps, work):
        self.planned_steps = list(steps)
        assert work > 0 or not steps

    def started(self, step): ...

    def advanced(self, step, share):
        assert 0 <= share <= 1

    def noted(self, step, note): ...

    def finished(self, step, work): ...

    def failed(self, step, error):
        self.failures.append(step)


def load(path: Path):
    return load_study(path, cache=path.parent / "cache", notice=lambda line: None)


def run(path: Path, root: Path):
    torch.set_num_threads(1)
    study, store = load(path), Store(root)
    outcome = run_study(study, store, Workshop(store), Quiet())
    return study, store, outcome


@pytest.fixture(scope="module")
def finished(made_study_file, tmp_path_factory):
    return run(made_study_file, tmp_path_factory.mktemp("store"))


def scores_of(study, store):
    results = collect(study, store, command="spillover run study.yaml")
    return {(s.variant, s.cell, s.metric): (s.example_ids, s.statistics.tolist()) for s in results.scores}


def test_a_study_scores_the_base_and_every_variant_in_every_cell(finished):
    study, store, outcome = finished
    assert not outcome.failed
    results = collect(study, store, command="spillover run study.yaml")
    ids = {BASE, "sft/first/16/0", "sft/words/16/0", "fticl/first/16/0"}
    for task in ("first", "second", "words"):
        for shots in (0, 2):
            models = {s.variant for s in results.scores if s.cell.tested_on == task and s.cell.shots == shots}
            assert models == ids
    assert results.relations["sft/first/16/0", "second"] is Relation.OUT_OF_DOMAIN
    assert results.relations["sft/first/16/0", "words"] is Relation.CROSS_TASK
    assert results.relations["sft/words/16/0", "words"] is Relation.IN_DOMAIN
    analysis = answered(results)
    assert {verdict.variant for verdict in analysis.verdicts} == ids - {BASE}


def test_base_and_variants_are_asked_the_same_token_ids_in_every_cell(finished):
    study, store, _ = finished
    asked: dict[object, set[str]] = {}
    for step in study.steps:
        if isinstance(step, Predict):
            prompt = store.file(step, "prompt.json").read_text()
            asked.setdefault(step.cell, set()).add(prompt)
    assert len(asked) == 6
    assert all(len(prompts) == 1 for prompts in asked.values())


def test_running_again_computes_nothing(finished):
    study, store, _ = finished
    assert not missing_steps(load(Path(study.suite.path).parent / "study.yaml"), store)


def test_a_changed_setting_is_computed_again_and_nothing_else_is(finished, made_study_file):
    _, store, _ = finished
    changed = made_study_file.with_name("changed.yaml")
    changed.write_text(made_study_file.read_text().replace("learning_rate: 0.01", "learning_rate: 0.02"))
    missing = missing_steps(load(changed), store)
    assert {step.kind for step in missing} == {"finetune", "predict", "score", "drift"}
    assert all(step.variant is not None for step in missing if isinstance(step, Predict))


def test_a_shorter_test_changes_only_predictions_and_scores(finished, made_study_file):
    _, store, _ = finished
    changed = made_study_file.with_name("shorter.yaml")
    changed.write_text(made_study_file.read_text().replace("test_limit: 10", "test_limit: 9"))
    assert {step.kind for step in missing_steps(load(changed), store)} == {"predict", "score"}


def test_a_variants_name_is_no_part_of_its_identity(made_study_file):
    renamed = made_study_file.with_name("renamed.yaml")
    renamed.write_text(made_study_file.read_text().replace("name: sft", "name: plain"))
    keys = [[step.key for step in load(path).finetunes] for path in (made_study_file, renamed)]
    assert keys[0] == keys[1]


def test_keys_of_the_quickstart_stay_what_they_are(tmp_path):
    """Golden: a change here means stored results of users are computed again; raise a step's version on purpose."""
    frozen = Path(__file__).with_name("frozen_quickstart.yaml")
    base = ResolvedModel("made", tmp_path, "0" * 64, "1" * 64, 10**6, "base", "none", 2048)
    study = load_study(frozen, cache=tmp_path, base=base, notice=print)
    steps = replace(study, precision="float32").steps
    assert len({step.key for step in steps}) == len(steps) == 91
    text_scores = [
        step.key for step in steps if isinstance(step, Score) and not step.predictions.data.task.is_classification
    ]
    assert digest([step.key for step in steps if step.key not in text_scores]) == GOLDEN
    assert digest(text_scores) == GOLDEN_TEXT_SCORES


def test_steps_removed_from_a_store_are_computed_again_and_nothing_else_is(finished, tmp_path):
    study, store, _ = finished
    root = tmp_path / "store"
    shutil.copytree(store.root, root)
    copied = Store(root)
    predicted = next(step for step in study.steps if isinstance(step, Predict) and step.variant)
    removed = [predicted, study.finetunes[0]]
    for step in removed:
        shutil.rmtree(copied.folder(step))
    outcome = run_study(study, copied, Workshop(copied), Quiet())
    assert {step.key for step in outcome.computed} == {step.key for step in removed}
    assert scores_of(study, copied) == scores_of(study, store)


def test_a_demonstration_seed_changes_nothing_where_there_are_no_demonstrations(tmp_path):
    study = load(make_study(tmp_path, more="demonstration_seeds: [0, 1]"))
    cells = [step.predictions.cell for step in study.scores if step.predictions.variant is None]
    cells = [cell for cell in cells if cell.tested_on == "first"]
    assert [(cell.shots, cell.demonstration_seed) for cell in cells] == [(0, 0), (2, 0), (2, 1)]


def test_cells_without_enough_demonstrations_are_listed_not_run(tmp_path):
    path = make_study(tmp_path)
    path.write_text(path.read_text().replace("shots: [0, 2]", "shots: [0, 6]"))
    study = load(path)
    assert {step.predictions.cell.shots for step in study.scores} == {0}
    assert study.skipped[0] == "first at 6 shots: the task has 4 demonstrations"


def test_a_variant_that_learnt_nothing_is_an_error_and_takes_down_only_its_own_steps(tmp_path):
    path = make_study(tmp_path)
    text = path.read_text().replace("sizes: [16], recipe", "sizes: [16], training: {learning_rate: 1.0e-30}, recipe")
    path.write_text(text)
    study, store, outcome = run(path, tmp_path / "store")
    first, reason = outcome.failed[0]
    assert isinstance(first, Finetune)
    assert first.variant == "fticl/first/16/0"
    assert "nothing was learnt" in reason
    assert {step.label.split()[0] for step, _ in outcome.failed[1:]} == {"ask", "score", "measure"}
    results = collect(study, store, command="spillover run")
    assert {variant.id for variant in results.variants} == {"sft/first/16/0", "sft/words/16/0"}
    assert any("fticl/first/16/0" in sentence for sentence in results.skipped)


def test_a_prompt_that_does_not_fit_the_context_is_found_before_anything_is_written(tmp_path):
    path = make_study(tmp_path)
    rows = path.with_name("second.jsonl")
    rows.write_text("".join(json.dumps({"text": f"{i} " + "dog " * 200, "answer": "up"}) + "\n" for i in range(40)))
    with pytest.raises(UserError, match=r"task 'second' .* prompt of \d+ tokens .* context holds 512"):
        run(path, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_more_training_rows_than_there_are_is_found_before_anything_is_written(tmp_path):
    path = make_study(tmp_path)
    path.write_text(path.read_text().replace("[16]", "[1600]"))
    with pytest.raises(UserError, match="1600 training rows asked for"):
        run(path, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_no_room_on_disk_is_found_before_anything_is_written(tmp_path, monkeypatch):
    path = make_study(tmp_path)
    monkeypatch.setattr("spillover.study.runner.BYTES_A_WEIGHT", 10**12)
    with pytest.raises(UserError, match=r"needs about .* GB for weights, its disk has .* GB free"):
        run(path, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def start(path: Path, root: Path) -> Run:
    arguments = ["run", str(path), "--store", str(root), "--threads", "1", "--report", str(root.parent / "report")]
    return processes.start(arguments, cache=path.parent / "cache", said=root.parent / "said.txt")


def finished_steps(root: Path) -> int:
    return len(list(root.glob("*/*/manifest.json")))


def test_what_another_process_computes_is_put_off_until_nothing_else_is_left(made_study_file, finished, tmp_path):
    store = Store(tmp_path / "store")
    study = load(made_study_file)
    taken = next(step for step in study.steps if isinstance(step, Finetune))
    needing = {taken.key}
    for step in study.steps:  # inputs come first
        needing |= {step.key for source in step.inputs().values() if source.key in needing}
    (store.root / "locks").mkdir(parents=True)
    other = (store.root / "locks" / taken.key).open("w")
    fcntl.flock(other, fcntl.LOCK_EX)

    class Releasing(Quiet):
        begun = []

        def started(self, step):
            self.begun.append(step)
            if len(self.begun) == len(study.steps) - len(needing):
                other.close()  # the other process gives up

    observer = Releasing()
    outcome = run_study(study, store, Workshop(store), observer)
    assert not outcome.failed
    assert [step.key in needing for step in observer.begun] == sorted(step.key in needing for step in study.steps)
    assert scores_of(study, store) == scores_of(*finished[:2])


@pytest.mark.long  # in the default tier, tests/robust kills runs before changes of files
def test_a_run_killed_at_several_points_resumes_to_the_same_measurements(finished, made_study_file, tmp_path):
    study, store, _ = finished
    root = tmp_path / "store"
    for finished_count in (3, 20, 30):  # while the base is asked, while a variant is asked, near a fine-tuning
        killed = start(made_study_file, root)
        while finished_steps(root) < finished_count and killed.process.is_alive():
            time.sleep(0.01)
        killed.process.kill()
        assert killed.end()[0] == -signal.SIGKILL
        assert finished_count <= finished_steps(root) < 57
    code, messages = start(made_study_file, root).end()
    assert code == 0, messages
    assert scores_of(study, Store(root)) == scores_of(study, store)


def test_an_interrupted_run_exits_130_and_keeps_what_is_finished(made_study_file, tmp_path):
    root = tmp_path / "store"
    interrupted = start(made_study_file, root)
    while not list(root.glob("prepare/*/manifest.json")) and interrupted.process.is_alive():
        time.sleep(0.01)
    os.kill(interrupted.process.pid, signal.SIGINT)
    code, messages = interrupted.end()
    assert code == 130
    assert "run the same command to go on" in messages
    assert "Traceback" not in messages
    assert list(root.glob("prepare/*/manifest.json"))


def test_the_memory_of_a_step_is_that_of_weights_gradients_and_moments(made_study_file):
    study = load(made_study_file)
    shapes = {entry.name: entry.shape for entry in tensor_entries(study.base.path)}
    count = weights_in(shapes)
    (full,) = {step.memory_bytes(shapes) for step in study.finetunes if step.recipe.parameters.kind == "full"}
    assert full == count * (4 + 4 + 8)  # float32 weights, gradients and Adam's two moments
    asked = next(step.predictions for step in study.scores)
    assert asked.memory_bytes(shapes) == count * 4
