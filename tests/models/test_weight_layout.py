import pytest
import torch

from spillover.models import weight_layout
from spillover.models.scoring import PrefixCache, answer_log_likelihoods
from spillover.models.weight_layout import FEWEST_PASSES, ArrangedWeights
from tests.models.tiny import tiny_model

pytestmark = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()),
    reason="needs a processor on which torch arranges bfloat16 weights",
)
IDS = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 10, 11, 12]])


def wrapped(model):
    return {name for name, module in model.named_modules() if "forward" in vars(module)}


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@torch.inference_mode()
def test_arranged_weights_give_the_same_bits_and_leave_the_model_as_it_was(kind):
    model = tiny_model(kind).bfloat16()
    plain = model(IDS).logits
    with ArrangedWeights(model).in_use(passes=FEWEST_PASSES):
        assert len(wrapped(model)) == 14  # 7 a layer; not the vocabulary projection
        assert "lm_head" not in wrapped(model)
        assert torch.equal(model(IDS).logits, plain)
    assert not wrapped(model)


@torch.inference_mode()
def test_products_are_those_of_the_copies():
    model = tiny_model("llama").bfloat16()
    plain = model(IDS).logits
    weights = ArrangedWeights(model)
    with weights.in_use(passes=FEWEST_PASSES):
        model.model.layers[0].mlp.up_proj.weight.zero_()
        assert torch.equal(model(IDS).logits, plain)
    assert not torch.equal(model(IDS).logits, plain)


def test_weights_are_arranged_when_enough_passes_have_come_together():
    model = tiny_model("llama").bfloat16()
    weights = ArrangedWeights(model)
    with weights.in_use(passes=FEWEST_PASSES - 1):
        assert not wrapped(model)
    with weights.in_use(passes=1):
        assert wrapped(model)


def test_float32_and_what_would_take_too_much_memory_are_left_alone(monkeypatch):
    model = tiny_model("llama")
    with ArrangedWeights(model).in_use(passes=FEWEST_PASSES):
        assert not wrapped(model)
    monkeypatch.setattr(weight_layout, "MOST_BYTES", 100)
    with ArrangedWeights(model.bfloat16()).in_use(passes=FEWEST_PASSES):
        assert not wrapped(model)


def test_a_failed_pass_leaves_the_model_as_it_was():
    model = tiny_model("llama").bfloat16()
    with pytest.raises(RuntimeError, match="pass"), ArrangedWeights(model).in_use(passes=FEWEST_PASSES):
        raise RuntimeError("pass")
    assert not wrapped(model)


def test_scores_are_the_same_to_the_last_bit_however_many_passes_were_made():
    model = tiny_model("llama").bfloat16()
    prompts = [(3, 4, 5 + row % 7, 6 + row) for row in range(40)]
    answers = [[(7, 8), (9,), (7, 8, 10)]] * len(prompts)
    prefixes = PrefixCache(model)
    first, *later = [
        answer_log_likelihoods(model, prompts, answers, prefixes=prefixes, pack_tokens=32) for _ in range(3)
    ]
    with prefixes.weights.in_use(passes=0):
        assert wrapped(model)
    for scores in later:
        assert [row.tolist() for row in scores] == [row.tolist() for row in first]
