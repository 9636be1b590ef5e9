import pytest

from spillover.prompts.answers import is_bare_label


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        (" Positive. ", ("positive",), True),
        ("positive things", ("positive",), False),
        ("「积极」。", ("积极", "消极"), True),
        ("积极的", ("积极", "消极"), False),
        ("\u00bfS\u00ed?", ("si\u0301",), True),
        ("ＹＥＳ！", ("yes",), True),
        ("", ("yes",), False),
        ("", (":)",), False),
        (":)", (":)",), True),
        ("C++", ("C", "C++"), True),
        ("", (), False),
    ],
)
def test_a_bare_label_is_told_in_every_script(text, labels, expected):
    assert is_bare_label(text, labels) is expected
