import sys

import pytest

from spillover.errors import UserError
from spillover.tasks.table import RawRow, table_rows


def values(content, **settings):
    return [dict(row.values) for row in table_rows(content, file="f", **settings)]


def test_a_csv_keeps_quoted_line_breaks_and_skips_a_byte_order_mark():
    content = b'\xef\xbb\xbftext,label\r\n"a ""b""\nc",1\r\n\r\nd,0\r\n'
    assert values(content, format="csv") == [{"text": 'a "b"\nc', "label": "1"}, {"text": "d", "label": "0"}]


@pytest.mark.parametrize("first", [b"sep=;", b"\xef\xbb\xbfsep=;\r", b'"sep=;"', b"SEP=;;;"])
def test_a_csv_may_name_its_separator_in_a_first_line_as_excel_does(first):
    assert values(first + b"\ntext;label\na, b;1\n", format="csv") == [{"text": "a, b", "label": "1"}]
    assert values(first + b"\ntext;label\na, b;1\n", format="csv", separator=";") == [{"text": "a, b", "label": "1"}]


def test_a_csv_field_may_be_longer_than_the_modules_own_limit():
    ((row),) = values(b"text,label\n" + b"x" * 200_000 + b",1\n", format="csv")
    assert len(row["text"]) == 200_000


def test_columns_without_a_name_are_called_by_their_place():
    assert values(b",text,label,\n0,a,1,\n", format="csv") == [
        {"unnamed 1": "0", "text": "a", "label": "1", "unnamed 4": ""}
    ]


def test_json_lines_and_a_list_are_told_apart_by_what_they_hold():
    lines, rows = b'{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]
    assert values(lines, format="json") == values(lines, format="jsonl") == rows
    assert values(b'[\n {"a": 1},\n {"a": 2}\n]\n', format="jsonl") == rows


def test_parquet_is_read_where_pyarrow_is_there_and_refused_in_one_line_where_it_is_broken_or_not_there(monkeypatch):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    sink = pyarrow.BufferOutputStream()
    rows = [{"text": "a", "label": 1, "options": ["x", "y"]}, {"text": "b", "label": None, "options": ["z"]}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    content = sink.getvalue().to_pybytes()
    assert values(content, format="parquet") == rows
    for broken in (content[:-9], b"PAR1", b"", content[:50] + b"\xff" * 20 + content[70:]):
        with pytest.raises(UserError, match="f: is not Parquet"):
            table_rows(broken, file="f", format="parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="f: Parquet is read with pyarrow; run: pip install"):
        table_rows(content, file="f", format="parquet")


def test_nan_is_no_value_as_null_is_none():
    (row,) = table_rows(b'{"a": NaN, "b": null, "c": "NaN", "d": 0.5}', file="f", format="jsonl")
    assert [row.text(name) for name in "abcd"] == ["", "", "NaN", "0.5"]


def test_a_tsv_has_no_quoting_and_may_take_its_header_from_the_suite():
    assert values(b'1\t"a\tx\textra\n', format="tsv", header=("id", "text", "y")) == [
        {"id": "1", "text": '"a', "y": "x"}
    ]


def test_json_lines_are_split_at_newlines_only():
    assert values('{"a": "x\u2028y"}\n\n{"a": 2}'.encode(), format="jsonl") == [{"a": "x\u2028y"}, {"a": 2}]
    assert [row.number for row in table_rows(b'{"a": 1}\n\n{"a": 2}', file="f", format="jsonl")] == [1, 3]


def test_a_text_file_is_its_first_paragraph_and_the_others():
    assert values(b"Head\r\n\r\none\r\n\r\ntwo\r\n", format="text") == [
        {"first_paragraph": "Head", "other_paragraphs": "one\n\ntwo"}
    ]


@pytest.mark.parametrize(
    ("content", "kind", "line"),
    [
        (b"", "csv", "f: the file holds no rows; expected at least one"),
        (b"a,b\n", "csv", "f: the file holds no rows; expected at least one"),
        (b"", "json", "f: the file holds no rows"),
        (b"[]", "json", "f: the file holds no rows"),
        (b"\n", "jsonl", "f: the file holds no rows"),
        (b"a,b\n1\n", "csv", "f: row 1 has 1 columns; expected 2"),
        (b"a,b\nx, and y,1\n", "csv", "f: row 1 has 3 columns, its header 2; put values that hold ',' in quotes"),
        (b"a,a\n1,2\n", "csv", "f: the header a, a names a column twice; rename one"),
        (b'a,b\n"1"x,2\n', "csv", "f: line 2 is not CSV"),
        (b"\xef\xbb\xbfab\xff", "csv", "f: byte 5 is not UTF-8; save the file as UTF-8"),
        (b'{"a": 1}\n{"a"', "jsonl", "f: line 2 is not JSON"),
        (b"[1]\n[2]", "jsonl", "f: row 1 is a JSON list; expected an object"),
        (b'{"a": 1}', "json", "f: holds a JSON dict; expected a list of objects"),
        (b"[{]", "json", "f: line 1 is not JSON"),
    ],
)
def test_a_broken_file_is_named_with_the_place(content, kind, line):
    with pytest.raises(UserError) as caught:
        table_rows(content, file="f", format=kind)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_plain_values_become_text_as_json_writes_them():
    row = RawRow("f", 1, {"b": True, "n": None, "i": 3, "f": 2.5, "s": " x "})
    assert [row.text(column) for column in row.values] == ["true", "", "3", "2.5", "x"]


def test_a_missing_column_lists_the_ones_there_are_and_a_list_says_what_to_do():
    row = RawRow("f.csv", 2, {"text": ["a"], "label": {}})
    with pytest.raises(UserError, match=r"f\.csv: row 2 has no column 'txt'; the columns are 'text', 'label'"):
        row.text("txt")
    with pytest.raises(
        UserError, match=r"f\.csv: row 2, column 'text' holds a list; expected text \(set `first: true`"
    ):
        row.text("text")
    with pytest.raises(UserError, match=r"column 'label' holds a dict; expected text$"):
        row.text("label")


def test_lines_are_divided_at_the_last_separators():
    content = b"\xef\xbb\xbfa@b.c rose@up\r\n\r\nit fell@down\r\n"
    settings = {"format": "lines", "separator": "@", "header": ("text", "label")}
    assert values(content, **settings) == [{"text": "a@b.c rose", "label": "up"}, {"text": "it fell", "label": "down"}]
    with pytest.raises(UserError, match=r"f: line 2 has 1 columns between '@'; expected 2"):
        values(b"a@b\nc", **settings)
    with pytest.raises(UserError, match=r"f: a file of lines needs `separator` and `header`; add them"):
        values(b"a@b", format="lines")


def test_a_csv_may_have_another_separator_and_keeps_its_quotes():
    assert values(b'a\tb\n"x\ty\nz"\t1\n', format="csv", separator="\t") == [{"a": "x\ty\nz", "b": "1"}]


def test_empty_values_beyond_the_header_are_no_columns():
    assert values(b"a,b\n1,2,\n3,4,,\n", format="csv") == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_rows_lie_anywhere_within_a_json_file_and_may_be_named_by_its_keys():
    content = b'{"data": [{"p1": {"text": "x"}, "p2": {"text": "y"}}]}'
    assert values(content, format="json", at=("data", 0), key="post") == [
        {"post": "p1", "text": "x"},
        {"post": "p2", "text": "y"},
    ]
    with pytest.raises(UserError, match=r"f: has no 'dta', which `at` of the source asks for"):
        values(content, format="json", at=("dta",))
    with pytest.raises(UserError, match=r"f: row 1 is a JSON int; expected an object"):
        values(b'{"a": 1}', format="json", key="name")


def test_a_path_leads_into_a_column_unless_a_column_has_its_name():
    row = RawRow("f", 1, {"info": [{"score": 0.5}], "info.0": "whole"})
    assert row.text("info.0.score") == "0.5"
    assert row.text("info.0") == "whole"
    for wrong in ("info.1.score", "info.0.scores", "info.score", "inf.0"):
        with pytest.raises(UserError, match=rf"f: row 1 has no column '{wrong}'; the columns are 'info', 'info.0'"):
            row.value(wrong)
