import dataclasses

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from spillover.errors import UserError
from spillover.evaluation.predict import Asked, encode_cell, predict
from spillover.prompts.encoding import Encoder
from spillover.records import Cell, Example
from tests.study.made_study import make_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = make_model(tmp_path_factory.mktemp("model"))
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8)
    return model, Encoder(AutoTokenizer.from_pretrained(folder))


def asked(answers=(), count=5, **more):
    examples = tuple(Example(str(i), {"text": "row " * i}, "up") for i in range(count))
    prompts = tuple(f"Text: {'row ' * i}{i}\nMood:" for i in range(count))
    return Asked(Cell("mood", 1, 0, 0), examples, prompts, answers, **more)


def test_the_answer_is_the_label_of_the_highest_log_likelihood_of_its_whole_token_sequence(tiny):
    model, encoder = tiny
    labels = ("up", "down", "upper", "u")  # several tokens each, with shared first tokens and prefixes
    cell = encode_cell(asked(labels), encoder, context_length=512)
    predictions = predict(model, cell, encoder)
    for prediction, prompt in zip(predictions, cell.prompts, strict=True):
        expected = []
        for label in cell.answers:
            with torch.no_grad():
                rows = model(input_ids=torch.tensor([[*prompt, *label]])).logits[0].log_softmax(-1)
            expected.append(sum(float(rows[len(prompt) - 1 + i, token]) for i, token in enumerate(label)))
        assert np.abs(np.array(prediction.log_likelihoods) - np.array(expected)).max() <= 1e-4
        assert prediction.raw_answer == labels[int(np.argmax(expected))]
    assert [prediction.example_id for prediction in predictions] == ["0", "1", "2", "3", "4"]


def test_generated_text_is_cut_at_the_stop_string_and_its_ids_are_kept(tiny):
    model, encoder = tiny
    free = predict(model, encode_cell(asked(max_new_tokens=12, stop="~~~~"), encoder, context_length=512), encoder)
    text = encoder.decode(free[3].token_ids)
    stop = text[4:6]
    cut = predict(model, encode_cell(asked(max_new_tokens=12, stop=stop), encoder, context_length=512), encoder)
    assert cut[3].raw_answer == text[: text.index(stop)].strip()
    assert len(cut[3].token_ids) == text.index(stop) + 2  # one character a token: nothing is decoded after the stop
    assert free[3].token_ids[: len(cut[3].token_ids)] == cut[3].token_ids


def test_a_prompt_longer_than_the_context_names_task_row_and_remedy(tiny):
    with pytest.raises(UserError, match=r"task 'mood' at 0 shots: row '4' .* context holds 30; use fewer shots"):
        encode_cell(asked(("up", "down")), tiny[1], context_length=30)


def test_answers_with_the_same_token_ids_are_refused(tiny):
    with pytest.raises(UserError, match="same token ids"):
        encode_cell(asked(("ü", "ö")), tiny[1], context_length=512)  # both unknown to the tokenizer


def test_a_cell_without_rows_is_refused(tiny):
    nothing = dataclasses.replace(asked(), examples=(), prompts=())
    with pytest.raises(UserError, match="0 test rows are left to ask"):
        encode_cell(nothing, tiny[1], context_length=512)
    with pytest.raises(UserError, match=r"give the task more rows; left out: 60 \(equals a demonstration\)$"):
        encode_cell(nothing, tiny[1], context_length=512, dropped={"equals a demonstration": 60})


def test_the_card_of_a_cell_shows_what_the_model_saw(tiny):
    cell = encode_cell(asked(("up", "down")), tiny[1], context_length=512)
    card = cell.card()
    assert tiny[1].decode(card.token_ids) == card.text
    assert card.shared_prefix_token_count == len("Text: ")
    assert list(card.answer_token_ids) == ["up", "down"]
