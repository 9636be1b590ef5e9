import functools
import json
import os
import shutil
import signal

import pytest
import torch

from spillover.steps.predict import Predict
from spillover.steps.step import Told
from spillover.steps.workshop import Workshop
from spillover.store.partial import PartialCell
from spillover.store.store import Store
from spillover.study.runner import computed, run_study
from tests.robust.processes import SERVER
from tests.study.test_runner import Quiet, load, run


def small_batches(change):
    """Make batches of a few rows, each written as soon as it is done."""
    from spillover.models import generation, scoring
    from spillover.store import partial

    change(scoring, "answer_score_batches", functools.partial(scoring.answer_score_batches, pack_tokens=100))
    change(generation, "ROW_TOKENS", 100)
    change(generation, "ROWS_A_LINE", 2)
    change(partial.PartialCell.__init__, "__kwdefaults__", {"seconds": 0.0})


def steps_of(study, label):
    return next(step for step in study.steps if step.label == label)


def compute(study_file, root, label):
    """Compute one step; return the shares it told, and its predictions as they are written."""
    torch.set_num_threads(1)
    store, shares = Store(root), []
    workshop, step = Workshop(store), steps_of(load(study_file), label)
    folder = root / "made"
    folder.mkdir()
    computed(step, folder, workshop, Told(shares.append))
    return shares, (folder / "predictions.jsonl").read_bytes()


def die(study_file, root, label, row_count):
    """Compute one step and be killed when so many rows are written."""
    small_batches(setattr)
    add = PartialCell.add

    def add_or_die(self, rows):
        add(self, rows)
        if len(self.rows) >= row_count:
            os.kill(os.getpid(), signal.SIGKILL)

    PartialCell.add = add_or_die
    compute(study_file, root, label)


@pytest.fixture(scope="module")
def prepared(made_study_file, tmp_path_factory):
    """A store without predictions."""
    study, store, _ = run(made_study_file, tmp_path_factory.mktemp("whole") / "store")
    for kind in ("predict", "score"):
        shutil.rmtree(store.root / kind)
    return study, store.root


LABELS = ["ask base first at 2 shots", "ask fticl/first/16/0 second at 0 shots", "ask base words at 2 shots"]


@pytest.mark.parametrize("label", [LABELS[0], *(pytest.param(label, marks=pytest.mark.long) for label in LABELS[1:])])
def test_a_killed_cell_goes_on_after_its_last_batch_to_the_same_predictions(
    prepared, made_study_file, tmp_path, monkeypatch, label
):
    study, root = prepared
    small_batches(monkeypatch.setattr)
    whole, killed = (shutil.copytree(root, tmp_path / name) for name in ("whole", "killed"))
    shares, expected = compute(made_study_file, whole, label)
    assert len(shares) >= 4
    assert shares == sorted(shares)
    assert shares[-1] == 1

    for row_count in (1, 5):  # killed in the first batch's wake, then again further on
        process = SERVER.Process(target=die, args=(made_study_file, killed, label, row_count))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        shutil.rmtree(killed / "made")
    kept = killed / "checkpoints" / steps_of(study, label).key
    lines = (kept / "rows.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) >= 3
    (kept / "rows.jsonl").write_bytes(b"".join(lines[:-1]) + lines[-1][: len(lines[-1]) // 2])

    resumed, found = compute(made_study_file, killed, label)
    assert found == expected
    assert resumed == shares[len(lines) - 2 :]  # neither more nor fewer batches than were lost
    assert not kept.exists()


def test_rows_of_other_items_are_ignored_and_overwritten(tmp_path):
    first = PartialCell(tmp_path / "cell", identity="one", row_count=4, seconds=0)
    first.add({0: (1.0, 2.0), 3: (3.0, 4.0)})
    assert PartialCell(tmp_path / "cell", identity="one", row_count=4).rows == first.rows
    other = PartialCell(tmp_path / "cell", identity="other", row_count=4, seconds=0)
    assert not other.rows
    other.add({1: (5.0,)})
    assert PartialCell(tmp_path / "cell", identity="other", row_count=4).rows == {1: (5.0,)}
    assert not PartialCell(tmp_path / "cell", identity="one", row_count=4).rows


@pytest.mark.parametrize(
    "broken",
    [b"[[1, [0.5", b"[[1, [0.5]]]", b"\0\0\0\n", b"[[1, [0.5]]]\n", b"[[1, [NaN]]]\n", b'["words"]\n', b"null\n"],
)
def test_a_broken_line_and_what_follows_are_dropped_and_written_anew(tmp_path, broken):
    PartialCell(tmp_path, identity="one", row_count=4, seconds=0).add({0: (0.1,)})
    file = tmp_path / "rows.jsonl"
    with file.open("ab") as opened:
        opened.write(broken + json.dumps([[2, [0.5]]]).encode() + b"\n")
    found = PartialCell(tmp_path, identity="one", row_count=4, seconds=0)
    assert found.rows == {0: (0.1,)}
    assert found.share == 0.25
    found.add({1: (0.2,)})
    assert PartialCell(tmp_path, identity="one", row_count=4).rows == {0: (0.1,), 1: (0.2,)}


def test_a_digit_that_turned_in_a_kept_batch_is_asked_again_with_what_follows(tmp_path):
    cell = PartialCell(tmp_path, identity="one", row_count=4, seconds=0)
    for number in range(3):
        cell.add({number: (0.125 + number,)})
    file = tmp_path / "rows.jsonl"
    for old, new in ((b"1.125", b"1.135"), (b"[[1,", b"[[3,")):
        content = file.read_bytes()
        assert content.count(old) == 1
        file.write_bytes(content.replace(old, new))
        assert PartialCell(tmp_path, identity="one", row_count=4).rows == {0: (0.125,)}
        file.write_bytes(content)
    assert set(PartialCell(tmp_path, identity="one", row_count=4).rows) == {0, 1, 2}


def test_a_batch_of_another_cell_is_no_batch_of_this_one(tmp_path):
    for name, value in (("one", 0.5), ("other", 0.75)):
        PartialCell(tmp_path / name, identity=name, row_count=4, seconds=0).add({1: (value,)})
    file, other = (tmp_path / name / "rows.jsonl" for name in ("one", "other"))
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0] + other.read_bytes().splitlines(keepends=True)[1])
    assert not PartialCell(tmp_path / "one", identity="one", row_count=4).rows


def test_batches_that_follow_one_another_fast_are_written_together(tmp_path):
    cell = PartialCell(tmp_path / "cell", identity="one", row_count=4, seconds=3600)
    cell.add({0: (0.1,)})
    assert not (tmp_path / "cell").exists()
    assert cell.share == 0.25
    cell.remove()


def test_an_empty_file_is_no_start(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(b"")
    cell = PartialCell(tmp_path, identity="one", row_count=2, seconds=0)
    assert not cell.rows
    cell.add({1: (0.5,)})
    assert PartialCell(tmp_path, identity="one", row_count=2).rows == {1: (0.5,)}


def test_nothing_is_left_of_batches_when_a_study_is_done(prepared, tmp_path, made_study_file):
    study, root = prepared
    store = Store(shutil.copytree(root, tmp_path / "store"))
    told = {}

    class Listening(Quiet):
        def advanced(self, step, share):
            told.setdefault(type(step), []).append(share)

    assert not run_study(study, store, Workshop(store), Listening()).failed
    assert 1.0 in told[Predict]
    assert not list((store.root / "checkpoints").glob("*"))
