import pytest
from transformers import AutoTokenizer

from spillover.errors import UserError
from spillover.prompts.encoding import Encoder
from spillover.prompts.template import Template
from spillover.records import Example
from spillover.training.optimization import TrainingSettings
from spillover.training.rows import encode_rows
from spillover.training.settings import Demonstrations
from tests.study.made_study import make_model

TEMPLATE = Template("Text:{text}\nMood:")
ROWS = [Example("0", {"text": "dog"}, "up"), Example("1", {"text": "a very long cat"}, "down")]
SHOWN = [Example("2", {"text": "sun"}, "up")]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return Encoder(AutoTokenizer.from_pretrained(make_model(tmp_path_factory.mktemp("model"))))


def test_a_row_is_its_prompt_and_its_target_with_the_end_token(encoder):
    data = encode_rows(encoder, TEMPLATE, ROWS, [], TrainingSettings())
    assert encoder.decode(data.rows[1].prompt) == "Text:a very long cat\nMood:"
    assert data.rows[1].target == (*encoder.targets(["down"])[0], encoder.end_token_id)
    assert data.shared_prefix_length == len("Text:")


def test_the_same_demonstrations_stand_before_every_row(encoder):
    data = encode_rows(encoder, TEMPLATE, ROWS, SHOWN, TrainingSettings())
    texts = [encoder.decode(row.prompt) for row in data.rows]
    assert texts == ["Text:sun\nMood:up\n\nText:dog\nMood:", "Text:sun\nMood:up\n\nText:a very long cat\nMood:"]
    assert data.shared_prefix_length == len("Text:sun\nMood:up\n\nText:")


def test_rows_that_are_too_long_are_dropped_and_counted(encoder):
    data = encode_rows(encoder, TEMPLATE, ROWS, [], TrainingSettings(max_length=20))
    assert len(data.rows) == 1
    assert data.dropped == {"longer than 20 tokens": 1}


def test_trimming_cuts_the_start_of_the_prompt_and_never_the_target(encoder):
    data = encode_rows(encoder, TEMPLATE, ROWS, [], TrainingSettings(max_length=20, overlong="trim"))
    assert encoder.decode(data.rows[1].prompt) == " long cat\nMood:"
    assert len(data.rows[1]) == 20
    assert data.rows[1].target == (*encoder.targets(["down"])[0], encoder.end_token_id)
    assert data.dropped == {"prompt trimmed": 1}


def test_no_row_left_is_an_error_that_says_what_to_change(encoder):
    with pytest.raises(UserError, match=r"none of 2 training rows is left.*training\.max_length"):
        encode_rows(encoder, TEMPLATE, ROWS, [], TrainingSettings(max_length=8))


def test_resampled_demonstrations_are_each_rows_own_and_leave_the_template_to_share(encoder):
    pool = [Example(f"p{i}", {"text": text}, "up") for i, text in enumerate(["sun", "rain", "wind", "snow"])]
    rows = [Example(f"r{i}", {"text": f"dog {i}"}, "down") for i in range(12)]
    shown = Demonstrations(count=2, resampled=True).chosen_from(pool)
    data = encode_rows(encoder, TEMPLATE, rows, shown, TrainingSettings())
    texts = [encoder.decode(row.prompt) for row in data.rows]
    heads = [text.rsplit("\n\n", 1)[0] for text in texts]
    assert len(set(heads)) > 6
    for text, head, row in zip(texts, heads, rows, strict=True):
        first, second = (part.removeprefix("Text:").removesuffix("\nMood:up") for part in head.split("\n\n"))
        assert {first, second} < {"sun", "rain", "wind", "snow"}
        assert text == f"Text:{first}\nMood:up\n\nText:{second}\nMood:up\n\nText:{row.fields['text']}\nMood:"
    assert data.shared_prefix_length == len("Text:")
