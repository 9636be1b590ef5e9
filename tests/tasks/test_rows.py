import pytest

from spillover.errors import UserError
from spillover.settings import parse_settings
from spillover.tasks.rows import examples_of, with_groups
from spillover.tasks.table import RawRow
from spillover.tasks.task import Task


def task(**changes):
    settings = {
        "name": "t",
        "family": "f",
        "domain": "d",
        "sources": {"pool": "a.csv"},
        "columns": {"input": "text"},
        "target": "label",
        "prompts": {1: "{input}"},
    }
    return parse_settings(Task, {**settings, **changes}, where="suite")


def raw(*values, file="a.csv"):
    return [RawRow(file, number, value) for number, value in enumerate(values, start=1)]


def read(rows, **changes):
    return examples_of(raw(*rows), task(**changes))


def test_rows_get_the_file_and_their_number_or_id_as_id():
    rows = [{"text": "x", "label": "1", "key": "k7"}]
    assert read(rows).examples[0].id == "a.csv:1"
    assert read(rows, id="key").examples[0].id == "a.csv:k7"


def test_columns_are_cleaned_in_order_and_lists_give_their_first_entry():
    rows = [{"text": [" A. x<br />y ", "other"], "label": "1"}]
    column = {"column": "text", "first": True, "replace": [["<br />", " "], [r"^\s*[A-C]\.\s*", ""]]}
    assert read(rows, columns={"input": column}).examples[0].fields == {"input": "x y"}
    kept = {"column": "text", "first": True, "strip": False}
    assert read(rows, columns={"input": kept}).examples[0].fields == {"input": " A. x<br />y "}


def test_where_selects_rows_by_value():
    rows = [{"text": str(n), "label": "1", "kind": kind} for n, kind in enumerate(["a", "b", "c"])]
    assert [row.fields["input"] for row in read(rows, where={"kind": ["a", "c"]}).examples] == ["0", "2"]


def test_one_row_unpivots_into_several_with_their_own_labels():
    rows = [{"doc": "d", "good": "g", "bad": "b"}]
    result = read(
        rows,
        unpivot={"columns": {"good": "yes", "bad": "no"}, "value": "claim", "name": "label"},
        columns={"a": "doc", "b": "claim"},
        prompts={1: "{a}{b}"},
        answers=["yes", "no"],
    )
    assert [(row.id, dict(row.fields), row.target) for row in result.examples] == [
        ("a.csv:1/good", {"a": "d", "b": "g"}, "yes"),
        ("a.csv:1/bad", {"a": "d", "b": "b"}, "no"),
    ]


def test_a_threshold_is_exclusive_and_the_band_between_is_dropped_with_its_ends():
    rows = [{"text": "x", "label": number} for number in ("3.5", "3.51", "-0.5", "0.5", "0.6", "-9")]
    rule = {"column": "label", "above": 3.5, "then": "yes", "otherwise": "no", "drop_between": [-0.5, 0.5]}
    result = read(rows, target=rule, answers=["yes", "no"])
    assert [row.target for row in result.examples] == ["no", "yes", "no", "no"]
    assert result.dropped == {"label between -0.5 and 0.5": 2}


def test_a_map_turns_values_into_answers_and_refuses_others():
    rule = {"column": "label", "map": {1: "yes", 0: "no"}}
    assert [row.target for row in read([{"text": "x", "label": 1}], target=rule).examples] == ["yes"]
    with pytest.raises(UserError, match=r"a\.csv: row 1, column 'label': '2' is not in the target's map; it has 1, 0"):
        read([{"text": "x", "label": 2}], target=rule)


def test_long_fields_are_shortened_or_dropped_and_counted():
    rows = [{"text": "one two three", "label": "x"}, {"text": "one two", "label": "x"}, {"text": "one", "label": "x"}]
    cut = read(rows, field_limits={"input": 2})
    assert [row.fields["input"] for row in cut.examples] == ["one two", "one two", "one"]
    assert cut.shortened == {"input": {"a.csv:1"}}
    dropped = read(rows, field_limits={"input": {"words": 2, "longer": "drop", "least": 2}})
    assert [row.fields["input"] for row in dropped.examples] == ["one two"]
    assert dropped.dropped == {"input longer than 2 words": 1, "input shorter than 2 words": 1}


def test_rows_whose_answer_was_cut_off_are_dropped_and_counted():
    rows = [{"text": "the red CAT sat", "answer": answer, "label": "q"} for answer in ("Cat.", "sat", "ca")]
    result = read(
        rows,
        columns={"input": "text", "answer": "answer"},
        field_limits={"input": 3},
        must_contain={"input": "answer"},
    )
    assert [row.fields["answer"] for row in result.examples] == ["Cat."]
    assert result.dropped == {"answer does not occur in input": 2}


@pytest.mark.parametrize(
    ("rows", "changes", "line"),
    [
        (
            [{"text": "x", "label": " "}],
            {},
            "a.csv: row 1 has no target: column 'label' is empty; fill it in or delete",
        ),
        ([{"text": "x", "label": None}], {}, "a.csv: row 1 has no target"),
        ([{"text": "x"}], {}, "a.csv: row 1 has no column 'label'; the columns are 'text'"),
        (
            [{"text": "x", "label": "Yes"}],
            {"answers": ["yes", "no"]},
            "a.csv: row 1, column 'label': the label 'Yes' is not an answer of task 't'; expected yes, no",
        ),
        (
            [{"text": "x", "label": "a", "key": "7"}, {"text": "y", "label": "a", "key": "7"}],
            {"id": "key"},
            "a.csv: row 2: the id '7' is also that of row 1; ids must be unique",
        ),
        ([{"text": "x", "label": "a", "key": ""}], {"id": "key"}, "a.csv: row 1: column 'key' is empty; ids must be"),
        (
            [{"text": "x", "label": "high"}],
            {"target": {"column": "label", "above": 1, "then": "a", "otherwise": "b"}},
            "a.csv: row 1, column 'label': 'high' is not a number; the target's threshold needs one",
        ),
    ],
)
def test_a_row_that_breaks_the_rules_is_named(rows, changes, line):
    with pytest.raises(UserError) as caught:
        read(rows, **changes)
    assert str(caught.value).startswith(line)


def test_targets_without_an_answer_are_let_through_for_the_protocol_to_decide():
    rows = read([{"text": "x", "label": "-"}], answers=["yes", "no"], drop_targets=["-"])
    assert rows.examples[0].target == "-"


def test_groups_connect_rows_that_share_a_value_also_through_others():
    pairs = [("a", "b"), ("c", "B "), ("c", "d"), ("e", "f")]
    rows = read(
        [{"text": first, "other": second, "label": "x"} for first, second in pairs],
        columns={"one": "text", "two": "other"},
        prompts={1: "{one}{two}"},
        group=["text", "other"],
    )
    with_groups([rows])
    groups = [row.group for row in rows.examples]
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_group_names_do_not_depend_on_the_order_of_the_rows():
    values = [{"text": text, "label": "x"} for text in ("12_1", "12_2", "3_1")]
    named = []
    for order in (values, values[::-1]):
        rows = read(order, group={"column": "text", "pattern": r"^\d+"})
        with_groups([rows])
        named.append({row.fields["input"]: row.group for row in rows.examples})
    assert named[0] == named[1]
    assert named[0]["12_1"] == named[0]["12_2"] != named[0]["3_1"]


OPTIONS = {"columns": {"input": "text"}, "options": "choices"}
LETTERS = {"options": {"column": "choices", "asked": "letters"}, "answers": ["A", "B"]}


@pytest.mark.parametrize(
    "choices", ["\nA. red\nB. e.g. U. S. blue ", "A. red\n B. e.g. U. S. blue", ["red", " e.g. U. S. blue"]]
)
def test_options_are_read_from_a_lettered_text_or_a_list(choices):
    row = {"text": "x", "choices": choices, "label": "red"}
    assert read([row], **OPTIONS).examples[0].options == ("red", "e.g. U. S. blue")


def test_options_asked_as_letters_stay_with_the_prompt():
    row = {"text": "x", "choices": "A. red\nB. blue", "label": "B"}
    (example,) = read([row], **OPTIONS | LETTERS).examples
    assert (example.target, example.options) == ("B", ())


@pytest.mark.parametrize(
    ("changes", "choices", "label", "reason"),
    [
        ({}, "A. red\nB. red", "red", "an option is empty or comes twice"),
        ({}, "A. red\nB. ", "red", "an option is empty or comes twice"),
        ({}, "A. red\nB. blue", "green", "the target is not among the options"),
        ({"options": {"column": "choices", "count": 3}}, "A. red\nB. blue", "red", "not 3 options"),
        (LETTERS, "A. red\nB. blue\nC. green", "A", "not 2 options"),
    ],
)
def test_rows_whose_options_cannot_be_asked_are_dropped_and_counted(changes, choices, label, reason):
    rows = read([{"text": "x", "choices": choices, "label": label}], **OPTIONS | changes)
    assert rows.examples == []
    assert rows.dropped == {reason: 1}


def test_a_text_that_does_not_begin_with_an_option_names_its_row_and_the_pattern():
    with pytest.raises(UserError, match=r"a\.csv: row 1, column 'choices': no option begins with what options.split"):
        read([{"text": "x", "choices": "red or blue", "label": "red"}], **OPTIONS)


TURNS = {
    "columns": {"asked": "talk.questions", "said": {"column": "talk.answers", "replace": [[r"\.0$", ""]]}},
    "previous": "before",
    "form": "\nQ: {asked} A: {said}",
}


def test_a_conversation_becomes_one_row_a_turn_with_the_earlier_turns():
    rows = [{"page": "p", "talk": {"questions": ["one?", "two?", "three?"], "answers": [1.0, 2.5, "yes"]}}]
    result = read(
        rows,
        turns=TURNS,
        columns={"input": {"column": "before", "followed_by": {"asked": "\nQ: "}}},
        target="said",
        group="page",
    )
    assert [(row.id, row.fields["input"], row.target) for row in result.examples] == [
        ("a.csv:1/1", "Q: one?", "1"),
        ("a.csv:1/2", "Q: one? A: 1\nQ: two?", "2.5"),
        ("a.csv:1/3", "Q: one? A: 1\nQ: two? A: 2.5\nQ: three?", "yes"),
    ]
    assert len(set(result.group_keys.values())) == 1


@pytest.mark.parametrize("answers", [[1], "yes"])
def test_turns_of_different_length_are_refused(answers):
    rows = [{"talk": {"questions": ["one?", "two?"], "answers": answers}}]
    with pytest.raises(
        UserError, match=r"a\.csv: row 1: the columns of `turns` are not lists of one length: asked, said"
    ):
        read(rows, turns=TURNS, columns={"input": "asked"}, target="said")


def test_a_text_is_followed_by_others_where_they_have_one():
    rows = [{"text": "Do it.", "more": more, "label": "1"} for more in ("this", " ", None)]
    column = {"column": "text", "followed_by": {"more": "\nInput: "}}
    fields = [row.fields["input"] for row in read(rows, columns={"input": column}).examples]
    assert fields == ["Do it.\nInput: this", "Do it.", "Do it."]


def test_a_table_is_written_as_lines():
    rows = [{"text": {"2016": {"sales": 1.5, "costs": 2}, "note": "audited"}, "label": "1"}]
    column = {"column": "text", "lines": True}
    assert read(rows, columns={"input": column}).examples[0].fields["input"] == (
        "2016: sales = 1.5; costs = 2\nnote: audited"
    )
    with pytest.raises(UserError, match=r"a\.csv: row 1, column 'text' holds no mapping to write as lines"):
        read([{"text": "x", "label": "1"}], columns={"input": column})


def test_two_thresholds_make_three_answers_and_both_are_exclusive():
    rows = [{"text": "x", "label": number} for number in ("-0.11", "-0.1", "0", "0.1", "0.11")]
    rule = {"column": "label", "above": 0.1, "then": "up", "below": -0.1, "then_below": "down", "otherwise": "flat"}
    assert [row.target for row in read(rows, target=rule).examples] == ["down", "flat", "flat", "flat", "up"]


def choices(*answers, options=("red", "green", "blue")):
    return [{"text": str(n), "label": answer, "options": list(options)} for n, answer in enumerate(answers)]


@pytest.mark.parametrize(("answers", "targets"), [((0, 2, 1), "red blue green"), (("A", "C"), "red blue")])
def test_a_place_beside_a_list_of_options_is_the_option_that_stands_there(answers, targets):
    rows = read(choices(*answers), options="options")
    assert [row.target for row in rows.examples] == targets.split()
    assert not rows.dropped


def test_a_place_stands_for_the_letter_where_options_are_asked_as_letters():
    asked = {"column": "options", "asked": "letters"}
    rows = read(choices(0, 2), options=asked, answers=["A", "B", "C"], prompts={1: "{input}"})
    assert [row.target for row in rows.examples] == ["A", "C"]


def test_numbers_that_are_texts_of_options_stay_texts():
    rows = read(choices(3, 1, 2, options=(3, 1, 2)), options="options")
    assert [row.target for row in rows.examples] == ["3", "1", "2"]
    rows = read(choices("B", "A", options=("A", "B")), options="options")
    assert [row.target for row in rows.examples] == ["B", "A"]


def test_a_text_that_is_a_place_in_few_rows_is_read_as_in_the_others():
    rows = [*choices(0, 1, 2), *choices(1, options=("4", "1", "0"))]
    assert [row.target for row in read(rows, options="options").examples] == ["red", "green", "blue", "1"]
    rows[3]["label"] = 0
    assert read(rows, options="options").examples[3].target == "4"  # a place as well, and not the text "0"


@pytest.mark.parametrize("answer", [3, -1, "D"])
def test_a_place_that_no_option_has_names_the_row(answer):
    with pytest.raises(UserError, match=r"a.csv: row 3, column 'label': .* is no place among 3 options, .* from 0"):
        read(choices(0, 1, answer), options="options")


def test_every_row_that_was_read_is_counted():
    rows = read([{"text": str(n), "label": "1", "kind": kind} for n, kind in enumerate("abc")], where={"kind": "a"})
    assert (rows.read_count, rows.unselected_count, len(rows.examples)) == (3, 2, 1)
