import json
import zipfile

import pytest

from spillover.errors import UserError
from spillover.evaluation.harness.inspect_logs import read_logs
from spillover.questions import answered
from spillover.records import RIGHT_ANSWERS, CommonAnswer, Relation
from tests.commands.called import call

LONG = "a long text " * 20


def sample(
    text,
    grade,
    *,
    id=1,  # noqa: A002 - Inspect's own name
    epoch=1,
    scores=None,
    told=(),
    target="yes",
    **more,
):
    """A sample as Inspect logs it; ids of messages are drawn anew in every run."""
    question = {"id": f"message-{grade}-{epoch}", "role": "user", "content": text, "source": "input"}
    answer = {"id": f"answer-{grade}", "role": "assistant", "content": grade, "source": "generate"}
    return {
        "id": id,
        "epoch": epoch,
        "input": text,
        "target": target,
        "messages": [*told, question, answer],
        "scores": {"match": {"value": grade, "answer": "x"}} if scores is None else scores,
        **more,
    }


def write_log(path, model, samples, *, task="arc", created="2026-01-02T00:00:00", status="success", **spec):
    header = {"version": 2, "status": status, "eval": {"task": task, "model": model, "created": created, **spec}}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps({**header, "samples": samples}), encoding="utf-8")
        return path
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as log:
        log.writestr("_journal/start.json", json.dumps(header))
        for row in samples:
            log.writestr(f"samples/{row['id']}_epoch_{row['epoch']}.json", json.dumps(row))
        log.writestr("header.json", json.dumps(header))
    return path


def read(*paths, base=None, trained_on=()):
    return read_logs(list(paths), base=base, trained_on=trained_on, command="x")


def values(results, variant):
    return {row.metric: row.statistics[:, 0].tolist() for row in results.scores if row.variant == variant}


@pytest.mark.parametrize("suffix", [".eval", ".json"])
def test_items_are_joined_by_content_whatever_order_and_ids_they_have(tmp_path, suffix):
    grades = {f"question {number}": "CIPN"[number % 4] for number in range(12)}
    rows = [sample(text, grade, id=index) for index, (text, grade) in enumerate(grades.items())]
    one = write_log(tmp_path / f"one{suffix}", "hf/base", rows)
    turned = [sample(text, "C", id=99 - index) for index, text in enumerate(reversed(grades))]
    results = read(one, write_log(tmp_path / f"two{suffix}", "hf/tuned", turned), trained_on=["arc"])
    base, tuned = results.scores
    assert base.example_ids == tuned.example_ids
    assert sorted(values(results, "base")["match"]) == [0.0] * 6 + [0.5] * 3 + [1.0] * 3
    assert values(results, "hf/tuned")["match"] == [1.0] * 12
    assert results.relations["hf/tuned", "arc"] == Relation.IN_DOMAIN
    assert answered(results, resample_count=50).measurements[1].difference == pytest.approx(1 - 4.5 / 12)


def test_epochs_of_an_item_are_averaged(tmp_path):
    rows = [sample("a", grade, epoch=epoch) for epoch, grade in enumerate("CCIC")] + [sample("b", "C", id=2)]
    results = read(
        write_log(tmp_path / "one.eval", "base", rows),
        write_log(tmp_path / "two.eval", "tuned", [sample("a", "C"), sample("b", "C", id=2)]),
    )
    assert sorted(values(results, "base")["match"]) == [0.75, 1.0]


def test_scores_of_several_values_are_metrics_of_their_own_and_words_are_left_out(tmp_path):
    scores = {"judge": {"value": {"helpful": 3, "polite": True}}, "style": {"value": "florid"}, "inf": {"value": "inf"}}
    rows = [sample("a", "C", scores=scores), sample("b", "C", id=2, scores=scores)]
    results = read(write_log(tmp_path / "a.json", "base", rows), write_log(tmp_path / "b.json", "tuned", rows))
    assert values(results, "tuned") == {"judge/helpful": [3.0, 3.0], "judge/polite": [1.0, 1.0]}
    assert set(results.skipped) == {
        f"arc: metric {name}: its logged values cannot be summed over items" for name in ("style", "inf")
    }


def test_items_that_failed_in_one_run_are_dropped_from_all_and_counted(tmp_path):
    rows = [sample("a", "C"), sample("b", "C", id=2), sample("c", "C", id=3)]
    failed = [rows[0], sample("b", "C", id=2, error={"message": "timeout"}), rows[2]]
    one = write_log(tmp_path / "one.eval", "base", rows)
    results = read(one, write_log(tmp_path / "two.eval", "tuned", failed, status="error"))
    assert (results.tasks[0].item_count, results.tasks[0].dropped) == (2, {"not in every run": 1})
    assert results.skipped == (f"{tmp_path / 'two.eval'}: the run of arc with tuned ended with status 'error'",)


def test_a_long_text_kept_beside_the_messages_is_the_text(tmp_path):
    aside = sample("attachment://f00", "I", attachments={"f00": LONG})
    other = sample("b", "I", id=2)
    one = write_log(tmp_path / "one.eval", "base", [sample(LONG, "C"), other])
    results = read(one, write_log(tmp_path / "two.eval", "tuned", [aside, other]))
    assert values(results, "tuned") == {"match": [0.0, 0.0]}


def test_local_models_are_told_apart_by_their_path_and_a_folder_is_searched(tmp_path):
    for name, grade in (("one", "C"), ("two", "I")):
        write_log(
            tmp_path / "logs" / f"{name}.eval",
            "hf/local",
            [sample("a", grade), sample("b", grade, id=2)],
            model_args={"model_path": f"m/{name}"},
        )
    (tmp_path / "logs" / "logs.json").write_text("{}", encoding="utf-8")
    results = read(tmp_path / "logs", base="m/two")
    assert (results.base["name"], [card.id for card in results.variants]) == ("m/two", ["m/one"])


def test_the_newest_log_of_a_task_counts_and_shots_are_the_tasks_own(tmp_path):
    options = {"task_args": {"fewshot": 5}}
    right, wrong = ([sample("a", grade), sample("b", grade, id=2)] for grade in "CI")
    new = write_log(tmp_path / "a.eval", "base", right, created="2026-02-02T00:00:00", **options)
    old = write_log(tmp_path / "b.eval", "base", wrong, **options)
    tuned = write_log(tmp_path / "c.eval", "tuned", wrong, **options)
    results = read(new, old, tuned)
    assert values(results, "base") == {"match": [1.0, 1.0]}
    assert results.scores[0].cell.shots == 5


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ([sample("a", "C", told=[{"role": "system", "content": "Be brief."}])], "item .* with another prompt"),
        ([sample("a", "C", target="no")], "item .* with another target"),
        ([sample("z", "C")], "task arc: the runs have no item in common"),
        ([sample("a", "C", scores={})], "no metric with a number for every item"),
        ([sample("a", "C", error={}) | {"scores": None}], "two.json: no scored sample; run the evaluation with a"),
        ([{"id": 1}], "two.json: a sample is not as expected .'input'.; expected a log of Inspect"),
        (["text"], "two.json: samples are not a list of objects"),
    ],
)
def test_runs_that_did_not_measure_the_same_are_refused(tmp_path, other, message):
    one = write_log(tmp_path / "one.json", "base", [sample("a", "C")])
    with pytest.raises(UserError, match=message):
        read(one, write_log(tmp_path / "two.json", "tuned", other))


def test_files_that_are_no_logs_are_refused(tmp_path):
    one = write_log(tmp_path / "one.json", "base", [sample("a", "C")])
    with pytest.raises(UserError, match=r"the logs are of one model \(base\)"):
        read(one)
    with pytest.raises(UserError, match="unknown model in --base 'bsae'; did you mean 'base'"):
        read(one, write_log(tmp_path / "two.json", "tuned", [sample("a", "C")]), base="bsae")
    (tmp_path / "empty").mkdir()
    for name, content, message in (
        ("x.json", b"[1]", "x.json: not a JSON object"),
        ("x.json", b"{", "x.json: not JSON"),
        ("x.json", b"[" * 100_000, "x.json: not JSON"),
        ("x.json", b"{}", "x.json: no task and model under 'eval'"),
        ("x.eval", b"PK nonsense", "x.eval: not a readable zip"),
        ("none.json", None, "none.json: cannot be read"),
        ("empty", None, r"empty: no log of Inspect \(.eval or .json\) in the folder"),
    ):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            read(one, path)


def test_an_unfinished_log_and_a_bomb_are_refused(tmp_path):
    one = write_log(tmp_path / "one.json", "base", [sample("a", "C")])
    with zipfile.ZipFile(tmp_path / "unfinished.eval", "w") as log:
        log.writestr("_journal/start.json", "{}")
    with pytest.raises(UserError, match=r"no member 'header\.json'"):
        read(one, tmp_path / "unfinished.eval")
    with zipfile.ZipFile(tmp_path / "bomb.eval", "w", zipfile.ZIP_DEFLATED) as log:
        log.writestr("samples/1_epoch_1.json", b" " * (20 << 20))
    with pytest.raises(UserError, match="looks like a decompression bomb"):
        read(one, tmp_path / "bomb.eval")


def scored(grade, answer=None):
    return {"choice": {"value": grade, **({} if answer is None else {"answer": answer})}}


def test_of_choices_the_floor_is_the_better_of_chance_and_the_most_frequent_letter(tmp_path):
    rows = [
        sample(text, grade, id=text, choices=["x", "y", "z", "w"][:count], target=target, scores=scored(grade, said))
        for text, count, target, said, grade in (
            ("a", 4, "B", "B", "C"),
            ("b", 4, ["B"], "A", "I"),
            ("c", 3, "B", "A", "I"),
            ("d", 4, "C", "A", "I"),
        )
    ]
    results = read(write_log(tmp_path / "a.json", "base", rows), write_log(tmp_path / "b.json", "tuned", rows))
    (card,) = results.tasks
    assert (card.answers, card.majority_accuracy) == (("A", "B", "C", "D"), 0.75)
    assert card.chance_accuracy == pytest.approx((3 / 4 + 1 / 3) / 4)
    assert card.floors == {"choice": 0.75}
    assert results.metrics["choice"].kind == RIGHT_ANSWERS
    assert results.common_answers["tuned", results.scores[0].cell] == CommonAnswer("A", 0.75)


def test_where_several_letters_are_right_at_once_chance_alone_is_known(tmp_path):
    rows = [sample(t, "C", id=t, choices=["x", "y"], target=["A", "B"], scores=scored("C", "A, B")) for t in "ab"]
    (card,) = read(write_log(tmp_path / "a.json", "base", rows), write_log(tmp_path / "b.json", "tuned", rows)).tasks
    assert (card.floors, card.majority_accuracy) == ({"choice": 0.5}, None)


def test_of_written_text_the_floor_is_nothing_and_answers_are_what_the_scorer_or_the_model_says(tmp_path):
    def row(text, target, said, grade):
        output = {"choices": [{"message": {"role": "assistant", "content": said}}]}
        scores = {"match": {"value": grade}, "judge": {"value": 4}, "polite": {"value": "yes"}, "f1": {"value": 0.5}}
        return sample(text, grade, id=text, target=target, scores=scores, output=output)

    rows = [row("a", "5", "5", "C"), row("b", "5", "", "I"), row("c", "7", "", "I")]
    results = read(write_log(tmp_path / "a.json", "base", rows), write_log(tmp_path / "b.json", "tuned", rows))
    (card,) = results.tasks
    assert card.floors == {"match": 0.0, "polite": 0.0, "f1": 0.0}
    assert card.constant_scores == {"match": pytest.approx(2 / 3)}
    kinds = {name: (found.unit, found.kind) for name, found in results.metrics.items()}
    assert kinds == {
        "match": ("share", RIGHT_ANSWERS),
        "judge": ("grade", "judge"),
        "polite": ("share", "polite"),
        "f1": ("share", "f1"),
    }
    assert results.common_answers["base", results.scores[0].cell] == CommonAnswer("", pytest.approx(2 / 3))


def test_one_item_has_no_interval_and_the_command_says_so_in_a_line(tmp_path, capsys):
    one, two = (write_log(tmp_path / f"{name}.json", f"x/{name}", [sample("q", "C")]) for name in ("base", "tuned"))
    assert call("import", "inspect", one, two, "--report", tmp_path / "report") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "task arc: the runs were joined on 1 item of 1, and one item has no interval" in line


def test_damaged_answers_are_no_answers(tmp_path):
    rows = [
        sample("a", "C", scores={"match": {"value": "C", "answer": 3}}, output={"choices": ["x"]}, choices="xy"),
        sample("b", "C", id=2, scores={"match": {"value": "C"}}, output={"choices": [{"message": 1}]}, choices=[1]),
    ]
    results = read(write_log(tmp_path / "a.json", "base", rows), write_log(tmp_path / "b.json", "tuned", rows))
    assert (results.tasks[0].floors, results.common_answers) == ({}, {})
