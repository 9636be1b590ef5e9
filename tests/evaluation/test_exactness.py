from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from spillover.errors import SpilloverError
from spillover.evaluation.exactness import check_exact, flip_floor
from spillover.evaluation.predict import Asked, encode_cell, predict
from spillover.prompts.encoding import Encoder
from spillover.records import Cell, Example, FlipFloor
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


def answered(tiny, answers=(), options=()):
    model, encoder = tiny
    examples = tuple(Example(str(i), {}, "up", options=options) for i in range(6))
    prompts = tuple(f"Text: {'row ' * i}{i}\nMood:" for i in range(6))
    cell = encode_cell(
        Asked(Cell("mood", 1, 0, 0), examples, prompts, answers, max_new_tokens=4), encoder, context_length=512
    )
    return cell, predict(model, cell, encoder)


def floor(tiny, cell, predictions, count=4):
    return flip_floor(tiny[0], cell, predictions, end_token_id=tiny[1].end_token_id, item_count=count)


@pytest.mark.parametrize("asked", [{"answers": ("up", "down", "upper")}, {"options": ("up", "sideways")}, {}])
def test_float32_predictions_agree_with_the_plain_path(tiny, asked):
    found = floor(tiny, *answered(tiny, **asked))
    assert (found.item_count, found.flipped_count) == (4, 0)
    assert found.largest_difference <= 1e-4
    check_exact(found, where="here")


def test_a_cell_smaller_than_the_sample_is_compared_whole(tiny):
    assert floor(tiny, *answered(tiny, answers=("up", "down")), count=99).item_count == 6


def test_wrong_log_likelihoods_are_counted_as_flips_and_refused(tiny):
    cell, predictions = answered(tiny, answers=("up", "down"))
    turned = [replace(p, log_likelihoods=p.log_likelihoods[::-1]) for p in predictions]
    found = floor(tiny, cell, turned)
    assert found.flipped_count == 4
    with pytest.raises(SpilloverError, match=r"^ask base mood: the fast path differs from the plain path by .* nats"):
        check_exact(found, where="ask base mood")


def test_a_wrong_first_token_is_a_flip(tiny):
    cell, predictions = answered(tiny)
    wrong = [replace(p, token_ids=((p.token_ids[0] + 1) % 90, *p.token_ids[1:])) for p in predictions]
    found = floor(tiny, cell, wrong)
    assert found.flipped_count == 4
    assert found.largest_difference > 1e-3


def test_a_difference_that_is_no_number_is_refused():
    with pytest.raises(SpilloverError, match="by nan nats"):
        check_exact(FlipFloor(4, 0, float("nan")), where="here")
