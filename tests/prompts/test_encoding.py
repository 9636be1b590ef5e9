import pytest
from transformers import AutoTokenizer

from spillover.errors import UserError
from spillover.prompts.encoding import Encoder, common_prefix_length
from tests.study.made_study import make_model


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return AutoTokenizer.from_pretrained(make_model(tmp_path_factory.mktemp("model")))


def test_prompts_get_exactly_the_special_tokens_their_tokenizer_adds(tokenizer):
    encoder = Encoder(tokenizer)
    assert encoder.prompts(["ab", "a"]) == [tuple(tokenizer("ab")["input_ids"]), tuple(tokenizer("a")["input_ids"])]


def test_a_target_without_tokens_is_refused(tokenizer):
    with pytest.raises(UserError, match="the target '' has no tokens"):
        Encoder(tokenizer).targets(["up", ""])


def test_a_tokenizer_without_an_end_token_is_refused(tmp_path):
    endless = AutoTokenizer.from_pretrained(make_model(tmp_path))
    endless.eos_token = None
    with pytest.raises(UserError, match="no end token"):
        Encoder(endless)


@pytest.mark.parametrize(
    ("rows", "length"),
    [
        ([], 0),
        ([(1, 2, 3)], 2),
        ([(1, 2, 3), (1, 2, 4)], 2),
        ([(1, 2, 3), (1, 2)], 1),
        ([(1, 2, 3), (1, 2, 3)], 2),
        ([(1, 2), (2, 2), (1, 2)], 0),
        ([(5,), (5, 6)], 0),
    ],
)
def test_the_common_prefix_leaves_every_row_a_token_of_its_own(rows, length):
    assert common_prefix_length(rows) == length
