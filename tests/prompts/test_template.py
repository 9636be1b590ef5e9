import pytest

from spillover.errors import UserError
from spillover.prompts.template import Template, demonstrated_prompt
from spillover.records import Example


def test_fields_are_listed_once_in_order_of_appearance():
    assert Template("{b} {a} {b} {} {not a field}").fields == ("b", "a")


def test_braces_inside_the_data_stay_as_they_are():
    text = Template("{input}|{answer}").render({"input": "{answer} {0} \\1", "answer": "{input}"})
    assert text == "{answer} {0} \\1|{input}"


def test_a_missing_field_is_named():
    with pytest.raises(UserError, match=r"asks for the field 'answer', but the example has only: input; add"):
        Template("{input} {answer}").render({"input": "x"})


def test_demonstrations_are_concatenated_with_their_targets_directly_behind_the_prompt():
    shots = [Example("1", {"x": "a"}, "A"), Example("2", {"x": "b"}, "B")]
    assert demonstrated_prompt(Template("Q:{x}\nA:"), shots, {"x": "c"}) == "Q:a\nA:A\n\nQ:b\nA:B\n\nQ:c\nA:"


def test_without_demonstrations_the_prompt_is_the_rendered_template():
    assert demonstrated_prompt(Template("Q:{x} "), [], {"x": "c"}) == "Q:c "
