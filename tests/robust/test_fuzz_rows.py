import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spillover.tasks.prepare import from_record, prepare, to_record
from spillover.tasks.suite import load_suite
from tests.robust.budget import fuzzed, lengths, survives
from tests.robust.mutations import torn, values
from tests.study.made_study import SUITE, TASK

ROWS = [{"text": f"good dog {n}", "answer": "up" if n % 2 else "down"} for n in range(24)]
CONTENTS = {
    "jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    "json": json.dumps(ROWS),
    "csv": "text,answer\n" + "".join(f'"{row["text"]}, said",{row["answer"]}\n' for row in ROWS),
    "tsv": "text\tanswer\n" + "".join(f"{row['text']}\t{row['answer']}\n" for row in ROWS),
}


def suite_of(folder, suffix):
    text = SUITE + TASK.format(name="first", family="mood").replace("first.jsonl", f"first.{suffix}")
    path = folder / f"{suffix}.yaml"
    path.write_text(text, encoding="utf-8")
    assert yaml.safe_load(text)
    return path


def prepared(path, folder):
    """Prepare and write the rows, as a step does, and read them back."""
    suite = load_suite(path)
    rows = prepare(suite, suite.task("first"), cache=folder / "cache")
    text = json.dumps(to_record(rows), ensure_ascii=False, allow_nan=False).encode()
    assert from_record(json.loads(text)) == rows


@lengths
@pytest.mark.parametrize("suffix", CONTENTS)
def test_a_torn_table_is_a_task_or_one_line(tmp_path, suffix, count):
    path = suite_of(tmp_path, suffix)
    encodings = ["utf-8", "utf-8-sig", "utf-16", "latin-1"]
    contents = [CONTENTS[suffix].replace("good", "göod").encode(name) for name in encodings]

    @fuzzed(count // 2)
    @given(content=torn([contents[0], *contents]))
    def holds(content):
        (tmp_path / f"first.{suffix}").write_bytes(content)
        survives(lambda: prepared(path, tmp_path), tmp_path)

    holds()


@lengths
def test_rows_of_any_values_are_a_task_or_one_line(tmp_path, count):
    path = suite_of(tmp_path, "jsonl")
    cells = st.fixed_dictionaries({"text": values | st.text(), "answer": st.sampled_from(["up", "down"]) | values})

    @fuzzed(count)
    @given(rows=st.lists(cells, max_size=3))
    def holds(rows):
        lines = "".join(json.dumps(row) + "\n" for row in [*rows, *ROWS])
        (tmp_path / "first.jsonl").write_text(lines, encoding="utf-8")
        survives(lambda: prepared(path, tmp_path), tmp_path)

    holds()


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        ("jsonl", '{"text": "\\ud800", "answer": "up"}\n', "is not a character"),
        ("jsonl", "[" * 100_000, "nested too deeply"),
        ("json", "[" * 100_000, "nested too deeply"),
        ("jsonl", '{"text": ' + "9" * 5000 + ', "answer": "up"}', "is not JSON"),
        ("json", '[{"text": ' + "9" * 5000 + ', "answer": "up"}]', "is not JSON"),
        ("csv", "text,answer\n" + "x" * 200_000 + ",up\n", "the pool has 1 usable rows"),
        ("csv", 'text,answer\n"x,up\n', "is not CSV"),
    ],
)
def test_hostile_tables_are_one_line_that_says_what_it_is(tmp_path, suffix, content, message):
    path = suite_of(tmp_path, suffix)
    (tmp_path / f"first.{suffix}").write_text(content, encoding="utf-8")
    assert message in survives(lambda: prepared(path, tmp_path), tmp_path)
