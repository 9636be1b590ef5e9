import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from spillover.prompts.encoding import Encoder
from spillover.prompts.faults import begin_counts, first_token_collisions, hidden_answers, merged_answers


def encoder(*, adds_begin=False, names_begin=True, chat="", extra=()):
    letters = {token: index for index, token in enumerate(["<end>", "<unk>", "<s>", *"abcdefgh:| ", *extra])}
    tokenizer = Tokenizer(models.WordLevel(letters, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    if adds_begin:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 2)])
    names = {"eos_token": "<end>", "unk_token": "<unk>"} | ({"bos_token": "<s>"} if names_begin else {})
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    made.add_tokens(list(extra))
    made.chat_template = chat or None
    return Encoder(made)


@pytest.mark.parametrize(
    ("options", "prompts", "counts"),
    [
        ({"adds_begin": True}, ["ab", "cd"], {1: 2}),
        ({"adds_begin": True}, ["<s>ab", "cd"], {2: 1, 1: 1}),
        ({}, ["<s>ab|<s>cd", "ab"], {2: 1, 0: 1}),
        ({"chat": "<s>user"}, ["<s>ab|<s>cd"], {1: 1}),
        ({"chat": "{{ bos_token }}user"}, ["<s>ab|<s>cd"], {2: 1}),
        ({"names_begin": False}, ["ab"], {0: 1}),
        ({}, [], {}),
    ],
)
def test_begin_tokens_are_counted_but_for_those_that_mark_the_turns_of_a_chat(options, prompts, counts):
    made = encoder(**options)
    assert dict(begin_counts(made, made.prompts(prompts))) == counts


def test_an_answer_merges_where_the_seam_is_one_token():
    made = encoder(extra=[":b"])
    merged = merged_answers(made, ["aa:", "aa:", "aa|"], ["b", "c", "b"])
    assert [(answer, len(whole), len(apart)) for answer, whole, apart in merged] == [("b", 3, 4)]


def test_an_answer_hides_the_longer_one_that_it_begins_and_answers_that_begin_alike_are_grouped():
    names, ids = ["ab", "abc", "b", "ad"], [(1, 2), (1, 2, 3), (2,), (1, 4)]
    assert hidden_answers(names, ids) == [("ab", "abc")]
    assert first_token_collisions(names, ids) == [("ab", "abc", "ad")]
    assert hidden_answers(["a", "b"], [(1,), (2,)]) == []
    assert first_token_collisions(["a", "b"], [(1, 3), (2, 3)]) == []


def test_an_encoder_says_whether_padding_is_the_end():
    made = encoder()
    assert made.pads_with_end
    made._tokenizer.pad_token = "<unk>"
    assert not made.pads_with_end
