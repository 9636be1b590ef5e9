import pytest
import torch

from spillover.models import attention
from spillover.models.attention import RowLayout, use_row_layouts
from spillover.models.packing import TokenTree, chain, encode_prefix, pack, run
from tests.models.tiny import SHARING, tiny_model

ROWS = [chain((3, 4, 5, 6)), TokenTree((7, 8, 9, 10, 11), (-1, 0, 1, 1, 3)), chain((12,)), chain((13, 14))]


@pytest.fixture
def attend():
    """The attention that models get, as they call it."""
    use_row_layouts()
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    class Layer(torch.nn.Module):
        num_key_value_groups = 3
        layer_idx = 1

    def attend(states, mask, **options):
        return ALL_ATTENTION_FUNCTIONS["sdpa"](Layer(), *states, mask, scaling=0.3, **options)[0]

    return attend


def states(total, cached, dtype=torch.float64):
    draw = torch.Generator().manual_seed(0)
    shapes = (6, total), (2, cached + total), (2, cached + total)
    return [
        torch.randn(1, heads, count, 8, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
        for heads, count in shapes
    ]


def by_definition(query, key, value, mask):
    """Softmax over what the mask allows, head by head."""
    outputs = []
    for head in range(query.shape[1]):
        scores = query[0, head] @ key[0, head // 3].T * 0.3
        outputs.append(scores.masked_fill(~mask[0, 0], -torch.inf).softmax(-1) @ value[0, head // 3])
    return torch.stack(outputs, dim=1)[None]


@pytest.mark.parametrize("cached", [0, 5])
@pytest.mark.parametrize("trunk", [(), (3, 9, 3)])
def test_attention_by_layout_and_its_gradients_are_those_of_the_masked_softmax(attend, trunk, cached):
    packed = pack(ROWS, cached, trunk=trunk)
    ours, theirs = states(12 + len(trunk), cached), states(12 + len(trunk), cached)
    output = attend(ours, None, row_layout=packed.layout)
    expected = by_definition(*theirs, packed.attention)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (output * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.allclose(output, expected, atol=1e-12)
    for left, right in zip(ours, theirs, strict=True):
        assert torch.allclose(left.grad, right.grad, atol=1e-12)


def test_one_row_behind_nothing_is_causal_attention(attend):
    row = states(4, 0)
    output = attend(row, None, row_layout=pack([chain((3, 4, 5, 6))], 0).layout)
    assert torch.allclose(output, by_definition(*row, torch.ones(1, 1, 4, 4).tril().bool()), atol=1e-12)


def test_the_mask_is_used_where_the_layout_cannot_be(attend):
    packed = pack(ROWS, 0)
    row = states(12, 0)
    for options in ({}, {"row_layout": packed.layout, "position_bias": torch.zeros(1, 1, 12, 12, dtype=torch.float64)}):
        output = attend(row, packed.attention, **options)
        assert torch.allclose(output, by_definition(*row, packed.attention), atol=1e-12)


@pytest.mark.parametrize("odd", [False, True])
def test_what_all_rows_see_is_read_apart_from_what_is_theirs(attend, odd):
    draw = torch.Generator().manual_seed(2)
    query = torch.randn(4, 6, 1, 8, generator=draw, dtype=torch.float64)
    own = [torch.randn(4, 2, 5, 8, generator=draw, dtype=torch.float64) for _ in range(2)]
    shared = [torch.randn(1, 2, 7, 8, generator=draw, dtype=torch.float64) for _ in range(2)]
    mask = torch.arange(12) <= torch.tensor([7, 11, 9, 10])[:, None]  # own keys that a row has so far
    nothing = torch.zeros(1, 1, 1, 12, dtype=torch.float64)
    options = {"position_bias": nothing} if odd else {}  # which the parts apart cannot take
    output = attend([query, *own], mask[:, None, None], seen_by_all=[None, tuple(shared)], **options)
    for row in range(4):
        keys, values = (
            torch.cat([of_all, of_row[row : row + 1]], 2) for of_all, of_row in zip(shared, own, strict=True)
        )
        expected = by_definition(query[row : row + 1], keys, values, mask[row][None, None, None])
        assert torch.allclose(output[row : row + 1], expected, atol=1e-12)


def test_autocast_computes_in_its_own_type(attend):
    packed = pack(ROWS, 5)
    row = states(12, 5, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = attend(row, None, row_layout=packed.layout)
    assert output.dtype == torch.bfloat16
    assert torch.allclose(output.float(), by_definition(*row, packed.attention), atol=0.03)


def test_gradients_over_few_keys_in_bfloat16_differ_from_exact_ones_by_their_own_rounding_only(attend):
    draw = torch.Generator().manual_seed(0)
    layout = RowLayout(0, 60, (60, 60), (None, None))

    def rounded(heads, size=64):
        return torch.randn(1, heads, 180, size, generator=draw).bfloat16()

    row, weights = [rounded(6), rounded(2), rounded(2)], rounded(6).transpose(1, 2)
    ours, exact = (
        [part.detach().to(dtype).requires_grad_() for part in row] for dtype in (torch.bfloat16, torch.float64)
    )
    for parts in (ours, exact):
        attend(parts, None, row_layout=layout).backward(weights.to(parts[0]))
    for left, right in zip(ours, exact, strict=True):
        rounding = (right.grad.bfloat16() - right.grad).norm().item()
        assert (left.grad - right.grad).norm().item() < 2 * rounding


@pytest.mark.parametrize("architecture", SHARING)
def test_models_take_the_layout_and_give_the_logits_of_the_masked_pass(architecture, monkeypatch):
    model = tiny_model(architecture)
    window = getattr(model.config, "sliding_window", None)
    layouts = []
    inner = attention._RowAttention.apply
    monkeypatch.setattr(attention._RowAttention, "apply", lambda *args: layouts.append(args[-1]) or inner(*args))
    short = [chain((5,))] if window else ROWS  # everything within the window
    wanted = range(3 if window else 14)
    packed = pack(short, 2, trunk=(6, 7))
    with torch.no_grad():
        logits = run(model, packed, encode_prefix(model, (3, 4)), wanted)
        assert {type(layout) for layout in layouts} == {RowLayout}
        monkeypatch.setattr("spillover.models.packing._takes_layout", lambda *_: False)
        seen = len(layouts)
        masked = run(model, packed, encode_prefix(model, (3, 4)), wanted)
    assert len(layouts) == seen
    assert torch.allclose(logits, masked, atol=2e-4)


@pytest.mark.parametrize("architecture", ["mistral", "gemma3"])
def test_a_sliding_window_that_ends_within_the_pass_is_left_to_the_mask(architecture, monkeypatch):
    monkeypatch.setattr(attention._RowAttention, "apply", None)
    with torch.no_grad():
        run(tiny_model(architecture), pack([chain((3, 4, 5, 6, 7, 8))], 0), None, [5])
