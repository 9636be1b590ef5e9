import json
import os
import random
import shutil
import signal
from pathlib import Path

import pytest

from spillover.config import load_study
from spillover.store.store import MANIFEST, Store
from spillover.study.results import collect
from tests.robust.processes import Fault, changes_of, disk_full, killed, start
from tests.store.test_store import Kept

STEPS = 57
"""Of the made study."""


def commanded(name, study_file, root, *, said, report="report", **options):
    arguments = [name, str(study_file), "--store", str(root)]
    if name != "status":
        arguments += ["--report", str(said.with_name(report))]
    arguments += ["--threads", "1"] if name == "run" else []
    return start(arguments, cache=study_file.parent / "cache", said=said, **options)


def measured(study_file, root):
    """Everything that is measured, with every digest on the way checked."""
    study = load_study(study_file, cache=study_file.parent / "cache", notice=lambda line: None)
    results = collect(study, Store(root), command="spillover run")
    for step in study.steps:
        Store(root).check(step)
    scores = {(s.variant, s.cell, s.metric): (s.example_ids, s.statistics.tolist()) for s in results.scores}
    return scores, results.changes


def manifests(root):
    return sorted(root.glob("*/*/" + MANIFEST))


@pytest.fixture(scope="module")
def finished(made_study_file, tmp_path_factory):
    """The store of a run that nothing happened to, and how often it changed the store's files."""
    folder = tmp_path_factory.mktemp("finished")
    code, text = commanded("run", made_study_file, folder / "store", said=folder / "said").end()
    assert code == 0, text
    assert len(manifests(folder / "store")) == STEPS
    return folder / "store", changes_of(folder / "said")


@pytest.fixture
def copied(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "store")
    return tmp_path / "store"


def chosen_points(count, most, seed):
    return sorted(random.Random(seed).sample(range(1, most), count))


@pytest.mark.parametrize("count", [2, pytest.param(20, marks=pytest.mark.long)])
def test_a_run_killed_before_any_change_of_a_file_goes_on_to_the_same_measurements(
    finished, made_study_file, tmp_path, count
):
    whole, changes = finished
    root, done = tmp_path / "store", 0
    for number, point in enumerate(chosen_points(count, changes, seed=count)):
        # Each run goes on where the last one was killed, so it dies after a share of what was left.
        first = max(1, round((point - done) / 2))
        said = tmp_path / f"said-{number}"
        code, text = commanded("run", made_study_file, root, said=said, fault=Fault(first, killed)).end()
        assert code == -signal.SIGKILL, text
        done += first
    code, text = commanded("run", made_study_file, root, said=tmp_path / "last").end()
    assert code == 0, text
    assert measured(made_study_file, root) == measured(made_study_file, whole)
    assert not list((root / "unfinished").iterdir())


@pytest.mark.parametrize("count", [2, pytest.param(40, marks=pytest.mark.long)])
def test_a_disk_that_fills_up_anywhere_is_one_line_and_leaves_a_store_that_goes_on(
    finished, made_study_file, tmp_path, count
):
    whole, changes = finished
    root, tried = tmp_path / "store", 0
    for number, point in enumerate(chosen_points(count, changes, seed=1)):
        said = tmp_path / f"said-{number}"
        code, text = commanded(
            "run", made_study_file, root, said=said, fault=Fault(max(1, point // count), disk_full)
        ).end()
        if code == 0:  # what was left needed fewer changes
            break
        tried += 1
        assert code == 2, text
        assert "Traceback" not in text
        assert text.splitlines()[-1].startswith(f"error: no room left on the disk of {root}; free some space")
    assert tried > 0
    code, text = commanded("run", made_study_file, root, said=tmp_path / "last").end()
    assert code == 0, text
    assert measured(made_study_file, root) == measured(made_study_file, whole)


@pytest.mark.parametrize("bytes_a_file", [8_000, pytest.param(600, marks=pytest.mark.long)])
def test_a_file_that_is_cut_off_on_its_way_is_one_line_and_no_finished_step(
    finished, made_study_file, tmp_path, bytes_a_file
):
    root, said = tmp_path / "store", tmp_path / "said"
    code, text = commanded("run", made_study_file, root, said=said, largest_file=bytes_a_file).end()
    assert code == 2, text
    assert "Traceback" not in text
    assert "no room left on the disk" in text.splitlines()[-1]
    store = Store(root)
    for path in manifests(root):
        store.check(Kept(path.parent.parent.name, path.parent.name))


@pytest.mark.parametrize("count", [2, pytest.param(8, marks=pytest.mark.long)])
def test_processes_on_one_store_share_the_work_and_reach_the_same_measurements(
    finished, made_study_file, tmp_path, count
):
    root = tmp_path / "store"
    runs = [commanded("run", made_study_file, root, said=tmp_path / f"said-{number}") for number in range(count)]
    for run in runs:
        code, text = run.end()
        assert code == 0, text
        assert "Traceback" not in text
    assert measured(made_study_file, root) == measured(made_study_file, finished[0])


def damage(path, draw):
    """Cut a file or turn one of its bits."""
    content = bytearray(path.read_bytes())
    if draw.random() < 0.5:
        del content[draw.randrange(len(content)) :]
    else:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(bytes(content))


def step_files(root):
    return sorted(path for manifest in manifests(root) for path in manifest.parent.rglob("*") if path.is_file())


@pytest.mark.parametrize("count", [6, pytest.param(60, marks=pytest.mark.long)])
def test_damaged_files_are_found_by_digest_said_and_computed_again(finished, made_study_file, copied, tmp_path, count):
    draw = random.Random(count)
    wanted = ("predict", "finetune", "prepare", "drift", "score")
    chosen = [draw.choice([p for p in step_files(copied) if p.relative_to(copied).parts[0] == kind]) for kind in wanted]
    chosen += [draw.choice(manifests(copied))]
    chosen = {*chosen, *draw.sample(step_files(copied), count - len(chosen))}
    for path in sorted(chosen):
        damage(path, draw)
    # Only weights are left for the day that a step needs them.
    found = {path.relative_to(copied).parts[:2] for path in chosen if path.parent.name not in {"weights", "adapter"}}
    code, text = commanded("run", made_study_file, copied, said=tmp_path / "said").end()
    assert code == 0, text
    assert "Traceback" not in text
    assert text.count("damaged: ") >= len(found)
    study = load_study(made_study_file, cache=tmp_path, notice=lambda line: None)
    for kind, key in found:
        Store(copied).check(Kept(kind, key))
        label = next(step.label for step in study.steps if step.key == key)
        assert f"damaged: {label}: " in text.replace("\n", " ")
    again = commanded("run", made_study_file, copied, said=tmp_path / "again").end()
    assert again[0] == 0, again[1]
    assert "nothing to do" in again[1]


def test_damaged_weights_are_trained_again_where_a_missing_step_needs_them(finished, made_study_file, copied, tmp_path):
    for path in copied.glob("finetune/*/*/model.safetensors"):
        damage(path, random.Random(0))
    for path in copied.glob("predict/*"):
        shutil.rmtree(path)
    code, text = commanded("run", made_study_file, copied, said=tmp_path / "said").end()
    assert code == 0, text
    assert text.count("damaged: fine-tune ") == 3
    assert measured(made_study_file, copied) == measured(made_study_file, finished[0])


def test_a_report_of_a_damaged_store_says_what_to_do(made_study_file, copied, tmp_path):
    next(iter(copied.glob("score/*/statistics.json"))).write_text("{}")
    code, text = commanded("report", made_study_file, copied, said=tmp_path / "said").end()
    assert code == 2
    assert "was changed or damaged; `spillover run` computes the step again" in text


def tree(root: Path):
    return {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in [root, *root.rglob("*")]}


@pytest.mark.parametrize("command", ["report", "status"])
def test_report_and_status_write_nothing_to_the_store(made_study_file, copied, tmp_path, command):
    for path in [copied, *copied.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    before = tree(copied)
    code, text = commanded(command, made_study_file, copied, said=tmp_path / "said", fault=Fault(1, disk_full)).end()
    assert code == 0, text
    assert tree(copied) == before
    for path in [copied, *copied.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o200)  # or the folder cannot be removed


@pytest.mark.skipif(os.geteuid() == 0, reason="the system lets its administrator write everywhere")
def test_a_run_on_a_read_only_store_is_one_line(made_study_file, copied, tmp_path):
    shutil.rmtree(next(copied.glob("drift/*")))
    (copied / "locks").chmod(0o500)
    code, text = commanded("run", made_study_file, copied, said=tmp_path / "said").end()
    (copied / "locks").chmod(0o700)
    assert code == 2
    assert f"error: cannot write to the store {copied}: " in text


def test_steps_of_another_version_are_computed_again_beside_the_old_ones(
    finished, made_study_file, copied, monkeypatch
):
    from spillover.questions.drift.step import Drift
    from spillover.study.runner import missing_steps

    monkeypatch.setattr(Drift, "version", Drift.version + 1)
    study = load_study(made_study_file, cache=made_study_file.parent / "cache", notice=lambda line: None)
    assert {step.kind for step in missing_steps(study, Store(copied))} == {"drift"}
    assert len(missing_steps(study, Store(copied))) == 3


def test_a_store_of_an_unknown_format_is_named_and_left_alone(made_study_file, copied, tmp_path):
    path = manifests(copied)[0]
    written = {**json.loads(path.read_text()), "format": 2}
    path.write_text(json.dumps(written))
    code, text = commanded("run", made_study_file, copied, said=tmp_path / "said").end()
    assert code == 2
    assert "is of format 2, this version of spillover reads 1; use the version that wrote it" in text
    assert json.loads(path.read_text()) == written
