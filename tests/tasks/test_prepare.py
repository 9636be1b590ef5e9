import json
from dataclasses import replace

import pytest

from spillover.errors import UserError
from spillover.prompts.demonstrations import text_of
from spillover.records import Example
from spillover.tasks.prepare import (
    PreparedTask,
    from_record,
    prepare,
    prepared_digest,
    protocol_rows,
    to_record,
    training_rows,
)
from spillover.tasks.suite import load_suite

FAMILY = 'families: {f: {prompts: {1: "{input}"}, columns: {input: text}, target: label, answers: [good, bad], '


def prepared(tmp_path, files, task, family=""):
    """Write the files and a suite with one task, then prepare it."""
    for name, rows in files.items():
        text = "".join(json.dumps({"text": row[0], "label": row[1]}) + "\n" for row in rows)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(f"{FAMILY}{family}}}}}\ntasks: {{t: {{family: f, {task}}}}}\n")
    suite = load_suite(tmp_path / "mine.yaml")
    return prepare(suite, suite.task("t"), cache=tmp_path / "cache")


def numbered(count, word="row", labels=("good", "bad")):
    return [(f"{word} {i}", labels[i % 2]) for i in range(count)]


def test_a_pool_is_divided_and_its_drops_are_counted(tmp_path):
    rows = [*numbered(40), ("ROW  3", "bad"), ("", "good"), ("odd", "?")]
    task = 'drop_targets: ["?"], sources: {pool: a.jsonl}, split: {test: 10, demonstrations: 4, train: 20}'
    result = prepared(tmp_path, {"a.jsonl": rows}, task)
    assert (len(result.train), len(result.demonstrations), len(result.test)) == (20, 4, 10)
    assert result.train_blocks == (20,)
    assert result.dropped == {"target '?'": 1, "empty field": 1, "repeated text": 1, "not needed for training": 6}
    assert len({text_of(row) for row in (*result.train, *result.demonstrations, *result.test)}) == 34


FILES = {
    "small.jsonl": numbered(6),
    "large.jsonl": [*reversed(numbered(6)), *numbered(4, "more"), ("test 1", "bad")],
    "shots.jsonl": [("row 2", "good"), ("shot", "bad"), ("test 3", "bad")],
    "test.jsonl": [*numbered(5, "test"), ("", "bad"), ("unsure", "-")],
}
PARTS = (
    'drop_targets: ["-"], sources: {train: [small.jsonl, large.jsonl], demonstrations: shots.jsonl, test: test.jsonl}'
)


def test_published_files_keep_their_order_and_their_sizes_as_blocks(tmp_path):
    result = prepared(tmp_path, FILES, PARTS)
    texts = [row.fields["input"] for row in result.train]
    assert texts == [*(f"row {i}" for i in range(6)), *(f"more {i}" for i in range(4))]
    assert result.train_blocks == (6, 10)
    assert [row.fields["input"] for row in result.test] == [*(f"test {i}" for i in range(5)), "", "unsure"]
    assert result.dropped == {"repeated text": 6, "equals a test row": 1}


def test_the_clean_protocol_drops_and_counts_what_the_literal_one_keeps(tmp_path):
    result = prepared(tmp_path, FILES, PARTS)
    rows, dropped = protocol_rows(result, split="test", protocol="clean")
    assert [row.fields["input"] for row in rows] == ["test 0", "test 1", "test 2", "test 4"]
    assert dropped == {"equals a demonstration": 1, "empty field": 1, "target '-'": 1}
    assert protocol_rows(result, split="test", protocol="literal") == (result.test, {})
    selection = training_rows(result, 6, seed=1)
    rows, dropped = protocol_rows(result, split="train", protocol="clean", rows=selection)
    assert {row.fields["input"] for row in rows} == {f"row {i}" for i in (0, 1, 3, 4, 5)}
    assert dropped == {"equals a demonstration": 1}


def test_a_block_size_gives_that_block_for_every_seed_and_sizes_are_nested(tmp_path):
    result = prepared(tmp_path, FILES, PARTS)
    chosen = {seed: [row.id for row in training_rows(result, 6, seed=seed)] for seed in range(4)}
    assert {frozenset(ids) for ids in chosen.values()} == {frozenset(row.id for row in result.train[:6])}
    assert len({tuple(ids) for ids in chosen.values()}) > 1
    for seed in range(4):
        assert training_rows(result, 8, seed=seed)[:3] == training_rows(result, 3, seed=seed)


def test_a_size_beyond_the_training_rows_is_refused(tmp_path):
    result = prepared(tmp_path, FILES, PARTS)
    with pytest.raises(
        UserError, match=r"task 't': 12 training rows asked for; it has 10; choose a size from 1 to that"
    ):
        training_rows(result, 12, seed=0)
    with pytest.raises(UserError, match=r"1 training rows asked for; it has none and can only be tested on$"):
        training_rows(PreparedTask("t", (), (), (), ()), 1, seed=0)
    emptied = PreparedTask("t", (), (), (), (), dropped={"equals a test row": 20, "repeated text": 1})
    with pytest.raises(UserError, match=r"; left out: 20 \(equals a test row\), 1 \(repeated text\)$"):
        training_rows(emptied, 1, seed=0)


def test_training_files_of_their_own_share_no_group_with_rows_of_the_pool(tmp_path):
    files = {
        "pool.jsonl": [(f"g{i} test {j}", ("good", "bad")[j]) for i in range(20) for j in range(2)],
        "train.jsonl": [(f"g{i} train", "good") for i in range(30)],
    }
    task = (
        "group: {column: text, pattern: '^g[0-9]+'}, sources: {pool: pool.jsonl, train: train.jsonl}, "
        "split: {test: 20, demonstrations: 4}"
    )
    result = prepared(tmp_path, files, task)
    tested = {row.group for row in (*result.test, *result.demonstrations)}
    assert len(result.train) == 30 - len(tested) == 16
    assert not tested & {row.group for row in result.train}


def test_shortened_rows_are_counted_among_the_kept_ones(tmp_path):
    rows = [(f"long text number {i}", ("good", "bad")[i % 2]) for i in range(30)]
    files = {"a.jsonl": [(f"{i} {text}", label) for i, (text, label) in enumerate(rows)]}
    task = "field_limits: {input: 3}, sources: {pool: a.jsonl}, split: {test: 10, demonstrations: 2, train: 5}"
    assert prepared(tmp_path, files, task).shortened == {"input": 17}


def test_the_digest_is_canonical_and_a_record_survives_json(tmp_path):
    result = prepared(tmp_path, FILES, PARTS)
    again = from_record(json.loads(json.dumps(to_record(result))))
    assert again == result
    assert prepared_digest(again) == prepared_digest(result)
    row = Example("x", {"b": "1", "a": "2"}, "é")
    turned = Example("x", {"a": "2", "b": "1"}, "é")
    digests = {prepared_digest(PreparedTask("t", (row,), (), (), (1,))) for row in (row, turned)}
    assert len(digests) == 1
    assert digests != {prepared_digest(PreparedTask("t", (), (row,), (), (1,)))}


def test_options_survive_json_and_are_part_of_the_digest():
    row = Example("x", {"a": "1"}, "é")
    chosen = PreparedTask("t", (), (), (replace(row, options=("é", "e")),), ())
    assert from_record(json.loads(json.dumps(to_record(chosen)))) == chosen
    assert prepared_digest(chosen) != prepared_digest(PreparedTask("t", (), (), (row,), ()))


def test_rows_that_differ_from_the_pinned_digest_are_refused(tmp_path):
    found = prepared_digest(prepared(tmp_path, FILES, PARTS))
    assert prepared_digest(prepared(tmp_path, FILES, f"{PARTS}, digest: '{found}'")) == found
    with pytest.raises(UserError, match=rf"task 't' of .*mine\.yaml: .* digest {found}, the suite pins 0+; if its"):
        prepared(tmp_path, FILES, f"{PARTS}, digest: '{'0' * 64}'")


def test_a_mistake_in_the_data_names_the_task(tmp_path):
    with pytest.raises(UserError, match=r"^task 't': a\.jsonl: row 1, column 'label': the label 'x' is not an answer"):
        prepared(tmp_path, {"a.jsonl": [("text", "x")]}, "sources: {pool: a.jsonl}")
