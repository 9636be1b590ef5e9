import pytest

from spillover.errors import UserError
from spillover.own_data.look import guessed_inputs, guessed_target, label_counts, read_table


def table(tmp_path, text, name="data.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path)


@pytest.mark.parametrize(
    ("text", "name", "columns"),
    [
        ("a,b\n1,2\n", "x.csv", ("a", "b")),
        ('\ufefftext;label\n"a;b, c";d\n', "x.csv", ("text", "label")),
        ("text\tlabel\n1\t2\n", "x.csv", ("text", "label")),
        ("text\tlabel\n1\t2\n", "x.tsv", ("text", "label")),
        ('{"text": "a", "label": "b"}\n{"text": "a", "label": "b", "more": 1}\n', "x.jsonl", ("text", "label", "more")),
        ('[{"text": "a", "label": "b"}]', "x.json", ("text", "label")),
    ],
)
def test_a_table_is_read_in_every_dialect(tmp_path, text, name, columns):
    assert table(tmp_path, text, name).columns == columns


@pytest.mark.parametrize(
    ("text", "name", "line"),
    [
        (b"", "x.csv", r"x\.csv: the file holds no rows"),
        (b"text,label\n", "x.csv", r"x\.csv: the file holds no rows"),
        ("text,label\ncaf\xe9,x\n".encode("latin-1"), "x.csv", r"byte 14 is not UTF-8; save the file as UTF-8"),
        ("text,label\na,b\n".encode("utf-16"), "x.csv", r"byte 0 is not UTF-8; save the file as UTF-8"),
        (b'text,label\n"a,b\n', "x.csv", r"line \d is not CSV"),
        (b"text,label\na\n", "x.csv", r"row 1 has 1 columns; expected 2"),
        (b"text\na\n", "x.csv", r"has one column, 'text'; expected a column of inputs and one of targets"),
        (b"a", "x.txt", r"a text file has no columns; give a CSV"),
        (b"a", "x.xlsx", r"cannot tell the format from its name"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, text, name, line):
    with pytest.raises(UserError, match=line) as raised:
        table(tmp_path, text, name)
    assert "\n" not in str(raised.value)
    assert name in str(raised.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv: No such file or directory; give a CSV"):
        read_table(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("header", "target", "inputs"),
    [
        ("id,Review Text,Sentiment,text", "Sentiment", ("text",)),
        ("premise,hypothesis,label", "label", ("premise", "hypothesis")),
        ("code,kind,words", "kind", ("words",)),
    ],
)
def test_columns_are_guessed_by_their_names_and_else_by_what_they_hold(tmp_path, header, target, inputs):
    width = header.count(",") + 1
    rows = [["1", "ab" if at % 2 else "cd", f"a longer text {at}", "z"][:width] for at in range(6)]
    rows = [[str(at), *row[1:]] for at, row in enumerate(rows)]
    made = table(tmp_path, "\n".join([header, *map(",".join, rows)]) + "\n")
    assert guessed_target(made) == target
    assert guessed_inputs(made, target) == inputs


def test_an_unknown_column_comes_with_the_nearest_and_rows_without_target_are_counted(tmp_path):
    made = table(tmp_path, "text,label\na,x\nb,\nc, \n")
    with pytest.raises(UserError, match=r"unknown column of .*data\.csv 'lable'; did you mean 'label'\?"):
        made.texts("lable")
    with pytest.raises(UserError, match=r"2 of 3 rows have no target in column 'label', the first is row 2; fill"):
        label_counts(made, "label")


@pytest.mark.parametrize(("long", "short"), [("文章", "摘要"), ("текст", "кратко"), ("نص", "ملخص")])
def test_of_texts_under_foreign_names_the_shorter_is_the_target_and_row_numbers_are_not(tmp_path, long, short):
    rows = [f"{n},{'一二三四五六七八九十' * 3}{n},{'一二三'}{n}" for n in range(20)]
    made = table(tmp_path, f"id,{long},{short}\n" + "\n".join(rows) + "\n")
    assert guessed_target(made) == short
    assert guessed_inputs(made, short) == (long,)
