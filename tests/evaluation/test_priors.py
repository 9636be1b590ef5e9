import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from spillover.errors import UserError
from spillover.evaluation.predict import Asked, encode_cell, predict
from spillover.models.exact import plain_log_likelihoods
from spillover.prompts.encoding import Encoder
from spillover.prompts.template import CONTENT_FREE, Template, content_free_prompts, premise
from spillover.records import Cell, Example
from tests.study.made_study import make_model

TEMPLATE = Template("Text: {text}\nMood: ")
SHOWN = (Example("shot", {"text": "sun"}, "up"),)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = make_model(tmp_path_factory.mktemp("model"))
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8)
    return model, Encoder(AutoTokenizer.from_pretrained(folder))


def cell_of(encoder, options, answers=()):
    examples = tuple(Example(str(i), {"text": "row " * i}, own[0], options=own) for i, own in enumerate(options))
    if answers:
        examples = tuple(Example(str(i), {"text": "row " * i}, answers[0]) for i in range(3))
    head = "Text: sun\nMood: up\n\n"
    prompts = tuple(head + TEMPLATE.render(example.fields) for example in examples)
    asked = Asked(
        Cell("mood", 1, 1, 0),
        examples,
        prompts,
        answers,
        content_free=content_free_prompts(TEMPLATE, SHOWN),
        premise=premise(TEMPLATE),
    )
    return encode_cell(asked, encoder, context_length=512)


def expected_prior(tiny, answers):
    model, encoder = tiny
    ids = encoder.targets(answers)
    prompts = [f"Text: sun\nMood: up\n\nText: {text}\nMood: " for text in CONTENT_FREE]
    shares = []
    for prompt in encoder.prompts(prompts):
        weights = np.exp(plain_log_likelihoods(model, prompt, ids))
        shares.append(weights / weights.sum())
    return np.log(np.mean(shares, axis=0)), plain_log_likelihoods(model, encoder.prompts(["Mood: "])[0], ids)


def test_an_answer_set_is_scored_once_after_content_free_prompts_and_the_premise(tiny):
    labels = ("up", "down", "upper")
    predictions = predict(tiny[0], cell_of(tiny[1], (), labels), tiny[1])
    content_free, after_premise = expected_prior(tiny, labels)
    for prediction in predictions:
        assert np.abs(np.array(prediction.content_free) - content_free).max() <= 1e-4
        assert np.abs(np.array(prediction.premise) - after_premise).max() <= 1e-4


def test_options_of_each_row_are_scored_after_every_prompt_of_their_own(tiny):
    options = (("red", "blue"), ("a cat", "a dog", "a"), ("up", "sideways"))
    cell = cell_of(tiny[1], options)
    for own, prompt, prediction in zip(options, cell.prompts, predict(tiny[0], cell, tiny[1]), strict=True):
        plain = plain_log_likelihoods(tiny[0], prompt, tiny[1].targets(own))
        content_free, after_premise = expected_prior(tiny, own)
        assert prediction.options == own
        assert prediction.raw_answer == own[int(plain.argmax())]
        assert np.abs(np.array(prediction.log_likelihoods) - plain).max() <= 1e-4
        assert np.abs(np.array(prediction.content_free) - content_free).max() <= 1e-4
        assert np.abs(np.array(prediction.premise) - after_premise).max() <= 1e-4


def test_the_card_of_a_cell_shows_the_options_of_its_first_row(tiny):
    card = cell_of(tiny[1], (("red", "blue"), ("up", "sideways"))).card()
    assert list(card.answer_token_ids) == ["red", "blue"]
    assert [len(ids) for ids in card.answer_token_ids.values()] == [3, 4]


def test_options_with_the_same_token_ids_name_their_row(tiny):
    with pytest.raises(UserError, match="row '1' has two options with the same token ids"):
        cell_of(tiny[1], (("red", "blue"), ("ü", "ö")))


def test_a_premise_is_what_follows_the_last_field():
    assert premise(Template("Text: {text}\n\nIs {text} good?\nMood:")) == "good?\nMood:"
    assert premise(Template("{text}")) == ""
