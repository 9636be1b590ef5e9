import json
import random

import pytest

from spillover.evaluation.json_answers import abstains, answers_in, is_right


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ('{"answer": "otter"}', ("otter",)),
        ('Reasoning first.\n{"answer": "otter"} and then some', ("otter",)),
        ("{'answer': 'otter',}", ("otter",)),
        ("{answer: otter}", ("otter",)),
        ("{Answer : the red otter }", ("the red otter",)),
        ('{"answer": ["otter", heron,]}', ("otter", "heron")),
        ('{"reason": "in {braces} and }", "answer": "otter"}', ("otter",)),
        ('{"reason": {"deep": [1, {"deeper": "}"}]}, "answer": 12}', ("12",)),
        ("{'answer': 'the otter's tail'}", ("the otter's tail",)),
        ('{"answer": "called "Otto" here"}', ('called "Otto" here',)),
        (r'{"answer": "a \"quote\", a \\ and \u00e9"}', ('a "quote", a \\ and é',)),
        (r"{'answer': 'it\'s'}", ("it's",)),
        (r'{"answer": "C:\path"}', (r"C:\path",)),
        ('{"answer": "?"}', ("?",)),
        ("{answer: ?}", ("?",)),
        ('{"answer": 10:30}', ("10:30",)),
        ('{"answer": "first", "answer": "last"}', ("last",)),
        ('{"answer": "one"} {"answer": "two"}', ("one",)),
        ('{"answer": "two\nlines"}', ("two\nlines",)),
    ],
)
def test_an_answer_is_read_leniently(text, answers):
    assert answers_in(text) == answers


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "otter",
            "answer: otter",
            '{"answer": "otter"',
            '{"answer": "otter',
            '"answer": "otter"}',
            "{",
            "{}",
            "{,}",
        ),
        *('{"answer": ""}', '{"answer": "  "}', '{"answer": null}', "{answer: None}", '{"answer": []}', '{"answer":}'),
        *('{"answer": {"text": "otter"}}', '{"answer": [["otter"]]}', '{"answer": ["otter", null]}'),
        *('{"other": "otter"}', '{"answer" "otter"}', "{answer: Paris, France}", '{"a": 1} {"answer": "otter"}'),
        *("{" * 5000, '{"answer": ' + "[" * 5000 + "]" * 5000 + "}", '{"answer": "otter\\'),
    ],
)
def test_what_holds_no_answer_gives_none(text):
    assert answers_in(text) == ()


def test_whatever_is_json_is_read_as_json_reads_it():
    draw = random.Random(0)
    signs = ['"', "'", "\\", "{", "}", "[", "]", ",", ":", " ", "\n", "é", "\U0001f9a6", "a", "answer", "/", "\t", "?"]
    for _ in range(2000):
        text = "x" + "".join(draw.choice(signs) for _ in range(draw.randrange(8))) + "x"
        other = {"".join(draw.choice(signs) for _ in range(3)) + "#": [text, 1, {"deep": text}]}
        for value in (text, [text, "y"]):
            written = json.dumps(
                other | {"answer": value}, ensure_ascii=draw.random() < 0.5, indent=draw.choice([None, 1])
            )
            assert answers_in(f"So: {written} }}") == ((text,) if value is text else (text, "y")), written


def test_half_a_pair_becomes_a_text_that_can_be_stored():
    (answer,) = answers_in(r'{"answer": "a\ud83e"}')
    assert answer.encode()[:1] == b"a"


def test_every_one_of_several_answers_must_be_right():
    assert is_right((" Otter ",), ("heron", "otter"))
    assert is_right(("otter", "HERON"), ("heron", "otter"))
    assert not is_right(("otter", "badger"), ("otter",))
    assert not is_right(("the otter",), ("otter",))
    assert not is_right((), ("otter",))


def test_only_a_question_mark_alone_leaves_a_question_open():
    assert abstains((" ? ",))
    assert not abstains(())
    assert not abstains(("?", "otter"))
    assert not abstains(("??",))
