import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.evaluation.harness.samples import read_runs
from spillover.questions import answered
from tests.evaluation.harness.test_samples import sample, write_run
from tests.robust.budget import fuzzed, lengths, survives
from tests.robust.mutations import spoiled, torn


@pytest.fixture
def runs(tmp_path):
    """Two sound runs of one task, as lm-eval logs them."""
    texts = ["red", "blue", "green", "black"]
    for name, right in (("one", 1.0), ("two", 0.0)):
        write_run(tmp_path / name, {"t": [sample(text, acc=right, other=0.5) for text in texts]})
    return [tmp_path / "one", tmp_path / "two"]


def read(folders):
    return read_runs(folders, base=folders[0], trained_on=["t"], command="x")


@lengths
@pytest.mark.parametrize("pattern", ["samples_*.jsonl", "results_*.json"])
def test_a_spoiled_or_torn_log_is_a_report_or_one_line(runs, tmp_path, pattern, count):
    file = next(iter(runs[1].rglob(pattern)))
    sound = file.read_bytes()
    trees = [json.loads(line) for line in sound.splitlines()]
    spoilt = st.lists(spoiled(trees), min_size=1, max_size=3).map(
        lambda rows: b"".join(json.dumps(row, default=str).encode() + b"\n" for row in [*rows, *trees[len(rows) :]])
    )

    @fuzzed(count // 2)
    @given(content=spoilt | torn([sound]))
    def holds(content):
        file.write_bytes(content)
        survives(lambda: read(runs), tmp_path)

    holds()
    file.write_bytes(sound)
    assert len(read(runs).scores) == 4


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 10**400, "1", None, [1.0], {"a": 1}], ids=lambda value: repr(value)[:9]
)
def test_a_log_whose_values_are_no_numbers_is_a_report_without_them_or_one_line(runs, tmp_path, value):
    texts = ["red", "blue", "green", "black"]
    write_run(tmp_path / "two", {"t": [sample(text, acc=value, other=0.5) for text in texts]})
    said = survives(lambda: answered(read(runs)), tmp_path)
    assert not said or "line 1" in said
