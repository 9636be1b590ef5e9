import copy

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from spillover.errors import UserError
from spillover.prompts import encoding
from spillover.prompts.encoding import Encoder, common_prefix_length
from tests.study.made_study import make_model


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return AutoTokenizer.from_pretrained(make_model(tmp_path_factory.mktemp("model")))


def test_prompts_get_exactly_the_special_tokens_their_tokenizer_adds(tokenizer):
    encoder = Encoder(tokenizer)
    assert encoder.prompts(["ab", "a"]) == [tuple(tokenizer("ab")["input_ids"]), tuple(tokenizer("a")["input_ids"])]


def with_template(tokenizer, template, name="<end>"):
    made = copy.deepcopy(tokenizer)
    made.backend_tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=[(name, 0)])
    return made


@pytest.mark.parametrize(
    ("template", "before", "behind"),
    [("$A", (), ()), ("<end> $A", (0,), ()), ("$A <end>", (), (0,)), ("<end> <end> $A <end>", (0, 0), (0,))],
)
def test_prompts_carry_the_special_tokens_before_them_and_none_behind(tokenizer, template, before, behind):
    encoder, plain = Encoder(with_template(tokenizer, template)), Encoder(tokenizer)
    assert encoder.appended == behind
    assert encoder.prompts(["ab", "a<end>"]) == [(*before, *ids) for ids in plain.prompts(["ab", "a<end>"])]
    assert encoder.targets(["ab"]) == plain.targets(["ab"])


def test_a_token_that_the_model_does_not_know_is_refused_with_its_text(tokenizer):
    encoder = Encoder(tokenizer, vocabulary_size=tokenizer("y")["input_ids"][0])
    assert encoder.prompts(["ab"])
    with pytest.raises(UserError, match=r"makes token \d+ \('y'\) of the text that begins with 'ay', .* vocabulary is"):
        encoder.prompts(["ab", "ay"])


def test_a_text_is_encoded_once_and_forgotten_when_too_many_are_known(tokenizer, monkeypatch):
    encoder, asked = Encoder(tokenizer), []
    monkeypatch.setattr(encoder, "_tokenizer", lambda texts, **more: asked.append(texts) or tokenizer(texts, **more))
    first = encoder.prompts(["ab", "a", "ab"])
    assert encoder.prompts(["a", "b"]) == [first[1], tuple(tokenizer("b")["input_ids"])]
    assert asked == [["ab", "a"], ["b"]]
    monkeypatch.setattr(encoding, "KNOWN_CHARACTERS", 5)
    assert encoder.prompts(["ab", "ba"])[0] == first[0]
    assert asked[2:] == [["ab", "ba"]]


def test_prompts_and_targets_of_the_same_words_are_encoded_apart(tokenizer, monkeypatch):
    encoder = Encoder(tokenizer)

    def with_begin_token(texts, *, add_special_tokens, **_):
        return {"input_ids": [[1, 7] if add_special_tokens else [7] for _ in texts]}

    monkeypatch.setattr(encoder, "_tokenizer", with_begin_token)
    assert encoder.targets(["up"]) == [(7,)]
    assert encoder.prompts(["up"]) == [(1, 7)]
    assert encoder.targets(["up"]) == [(7,)]


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
