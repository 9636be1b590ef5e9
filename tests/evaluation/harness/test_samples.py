import hashlib
import json
import math

import pytest

from spillover.analysis.generalization import analyse
from spillover.errors import UserError
from spillover.evaluation.harness.samples import read_runs
from spillover.records import Relation

DATE = "2026-01-02T03-04-05.6"


def sample(text, *, target="0", sample_filter="none", prompt=None, **metrics):
    return {
        "doc_id": 0,
        "doc": {"text": text},
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": prompt or text}},
        "filter": sample_filter,
        "metrics": list(metrics),
        "doc_hash": hashlib.sha256(text.encode()).hexdigest(),
        **metrics,
    }


def write_run(folder, tasks, *, shots=2, date=DATE):
    """A folder as lm-eval writes it: samples of each task and one results file."""
    inner = folder / "some-model"
    inner.mkdir(parents=True, exist_ok=True)
    for task, samples in tasks.items():
        text = "".join(json.dumps(entry) + "\n" for entry in samples)
        (inner / f"samples_{task}_{date}.jsonl").write_text(text, encoding="utf-8")
    up = {"acc": True, "exact_match": True, "word_perplexity": False}
    results = {"n-shot": dict.fromkeys(tasks, shots), "higher_is_better": dict.fromkeys(tasks, up)}
    (inner / f"results_{date}.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


def read(*folders, **options):
    return read_runs(list(folders), **({"base": folders[0], "trained_on": (), "command": "x"} | options))


def values(results, variant):
    return {
        score.metric: float(results.metrics[score.metric].combine(score.statistics.sum(axis=0)))
        for score in results.scores
        if score.variant == variant
    }


def test_items_are_joined_by_content_whatever_their_order(tmp_path):
    right = {"red": 1.0, "blue": 0.0, "green": 1.0}
    one = write_run(tmp_path / "one", {"t": [sample(text, acc=value) for text, value in right.items()]})
    rows = [sample(text, acc=1.0 - value) for text, value in reversed(right.items())]
    two = write_run(tmp_path / "two", {"t": rows})
    results = read(one, two)
    base, variant = results.scores
    assert base.example_ids == variant.example_ids
    assert (base.statistics[:, 0] + variant.statistics[:, 0]).tolist() == [1.0, 1.0, 1.0]
    assert values(results, "two")["acc"] == pytest.approx(1 / 3)
    assert base.cell.shots == 2
    assert analyse(results).verdicts[0].variant == "two"


def test_items_of_the_same_content_are_told_apart_by_their_rank(tmp_path):
    rows = [sample("same", acc=1.0), sample("same", acc=0.0)]
    results = read(write_run(tmp_path / "one", {"t": rows}), write_run(tmp_path / "two", {"t": rows}))
    assert values(results, "two")["acc"] == 0.5


def test_items_that_one_run_lacks_are_dropped_and_counted(tmp_path):
    one = write_run(tmp_path / "one", {"t": [sample("a", acc=1.0), sample("b", acc=0.0)], "u": [sample("c", acc=1.0)]})
    two = write_run(tmp_path / "two", {"t": [sample("b", acc=1.0), sample("d", acc=1.0)]})
    results = read(one, two)
    assert results.tasks[0].dropped == {"not in every run": 2}
    assert results.tasks[0].item_count == 1
    assert results.skipped == ("task u: not in every run",)


def test_tasks_named_as_trained_on_are_in_domain_and_all_others_cross_task(tmp_path):
    rows = {"t": [sample("a", acc=1.0)], "u": [sample("b", acc=1.0)]}
    results = read(write_run(tmp_path / "one", rows), write_run(tmp_path / "two", rows), trained_on=["u"])
    assert results.relations == {("two", "t"): Relation.CROSS_TASK, ("two", "u"): Relation.IN_DOMAIN}


def test_nothing_is_guessed_where_no_task_is_named_as_trained_on(tmp_path):
    rows = {"t": [sample(str(index), acc=0.0) for index in range(40)]}
    better = {"t": [sample(str(index), acc=1.0) for index in range(40)]}
    results = read(write_run(tmp_path / "one", rows), write_run(tmp_path / "two", better))
    assert results.relations == {("two", "t"): Relation.UNSTATED}
    (verdict,) = analyse(results, resample_count=50).verdicts
    assert verdict.light == "unclear"  # the gain may be on its own task


def test_another_folder_may_be_the_base(tmp_path):
    rows = {"t": [sample("a", acc=1.0)]}
    one, two = write_run(tmp_path / "one", rows), write_run(tmp_path / "two", rows)
    assert [card.id for card in read(one, two, base=two).variants] == ["one"]


def test_a_perplexity_is_weighted_by_its_words_and_a_filter_names_its_metric(tmp_path):
    rows = {
        "p": [sample("a", word_perplexity=[-3.0, 2]), sample("b", word_perplexity=[-9.0, 4])],
        "f": [sample("c", sample_filter="strict", exact_match=0.0), sample("c", sample_filter="loose", exact_match=1)],
        "x": [sample("d", acc=1.0, chrf=["a text", "another"])],
    }
    results = read(write_run(tmp_path / "one", rows), write_run(tmp_path / "two", rows))
    got = values(results, "two")
    assert got["word_perplexity"] == pytest.approx(math.exp(12 / 6))
    assert not results.metrics["word_perplexity"].higher_is_better
    assert (got["exact_match (strict)"], got["exact_match (loose)"]) == (0.0, 1.0)
    assert results.skipped == ("x: metric chrf: its logged values cannot be summed over items",)


def test_the_newest_samples_of_a_folder_count(tmp_path):
    one = write_run(tmp_path / "one", {"t": [sample("a", acc=0.0)]})
    write_run(tmp_path / "one", {"t": [sample("a", acc=1.0)]}, date="2026-02-02T00-00-00.1")
    two = write_run(tmp_path / "two", {"t": [sample("a", acc=0.0)]})
    assert values(read(one, two), "base")["acc"] == 1.0


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"t": [sample("a", prompt="shown before: a", acc=1.0)]}, "two was asked item .* with another prompt"),
        ({"t": [sample("a", target="1", acc=1.0)]}, "two was asked item .* with another target"),
        ({"t": [sample("z", acc=1.0)]}, "task t: the runs have no item in common"),
        ({"u": [sample("a", acc=1.0)]}, "the runs have no task in common; .* has: t"),
        ({"t": [sample("a", f1=["x", "y"])]}, "task t: no metric with a number for every item"),
        ({"t": []}, "no samples; run lm-eval again with --log_samples"),
        ({"t": [{"doc": {}}]}, "line 1: no 'arguments' in the sample"),
    ],
)
def test_runs_that_did_not_measure_the_same_are_refused(tmp_path, other, message):
    one = write_run(tmp_path / "one", {"t": [sample("a", acc=1.0)]})
    with pytest.raises(UserError, match=message):
        read(one, write_run(tmp_path / "two", other))


def test_runs_at_different_shots_are_refused(tmp_path):
    rows = {"t": [sample("a", acc=1.0)]}
    one, two = write_run(tmp_path / "one", rows), write_run(tmp_path / "two", rows, shots=5)
    with pytest.raises(UserError, match=r"task t: run at \[2, 5\] shots"):
        read(one, two)


def test_folders_that_are_no_runs_are_refused(tmp_path):
    one = write_run(tmp_path / "one", {"t": [sample("a", acc=1.0)]})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: no samples_\*\.jsonl; run lm-eval with --log_samples"):
        read(one, tmp_path / "empty")
    with pytest.raises(UserError, match="1 lm-eval run was given; give two or more different folders"):
        read(one)
    with pytest.raises(UserError, match=r"--base .*: not one of the given folders"):
        read(one, tmp_path / "empty", base=tmp_path / "other")
    with pytest.raises(UserError, match="unknown task in --trained-on 'tt'; did you mean 't'"):
        read(one, write_run(tmp_path / "two", {"t": [sample("a", acc=1.0)]}), trained_on=["tt"])
    next(one.rglob("results_*.json")).unlink()
    with pytest.raises(UserError, match=r"results_.*\.json is missing beside it"):
        read(one, tmp_path / "two")
