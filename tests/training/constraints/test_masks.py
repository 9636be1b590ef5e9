import pytest
import torch

from spillover.training.constraints.constraint import Material, Training
from spillover.training.constraints.half import HalfFineTuning
from tests.training.made_rows import moved, trained


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_the_magnitude_mask_freezes_the_largest_weights_bit_by_bit(share):
    model, before, _, log = trained({"constraint": {"kind": "magnitude-mask", "share": share}}, weight_decay=0.1)
    changed = moved(model, before)
    free = 0
    for name, first in before.items():
        count = int(share * first.numel())
        smallest_frozen = first.abs().flatten().sort(descending=True).values[count - 1]
        assert not changed[name][first.abs() > smallest_frozen].any()
        assert changed[name].any()
        free += first.numel() - count
    total = sum(first.numel() for first in before.values())
    assert log.recipe_report["touched_share"] == pytest.approx(free / total)


def test_the_random_mask_has_the_budget_of_the_magnitude_mask_and_is_drawn_by_its_seed():
    masks = {}
    for kind, seed in (("magnitude-mask", None), ("random-mask", 0), ("random-mask", 0), ("random-mask", 1)):
        settings = {"kind": kind, "share": 0.5} | ({"seed": seed} if seed is not None else {})
        model, before, constraint, log = trained({"constraint": settings})
        changed = moved(model, before)
        assert all(not changed[name][mask].any() for name, mask in constraint.frozen.items())
        masks.setdefault((kind, seed), []).append((constraint.frozen, log.recipe_report["touched_share"]))
    budgets = {share for runs in masks.values() for _, share in runs}
    assert len(budgets) == 1
    (first, _), (again, _) = masks["random-mask", 0]
    ((other, _),) = masks["random-mask", 1]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    assert {name: int(mask.sum()) for name, mask in first.items()} == {
        name: int(mask.sum()) for name, mask in masks["magnitude-mask", None][0][0].items()
    }


@pytest.mark.parametrize("rounds", [1, 2])
def test_half_fine_tuning_touches_exactly_what_it_says(rounds):
    model, before, half, log = trained({"constraint": {"kind": "half", "rounds": rounds}}, weight_decay=0.1)
    changed = moved(model, before)
    frozen = [half.frozen(step) for step in range(log.step_count)]
    assert len({tuple(sorted(names)) for names in frozen}) == rounds
    for names in frozen:
        for layer in (0, 1):
            of_layer = [name for name in names if f"layers.{layer}." in name]
            assert sum("attn" in name for name in of_layer) == 2  # of q, k, v and o
            assert sum("mlp" in name for name in of_layer) == 1 + layer  # of gate, up and down
    always = set.intersection(*frozen)
    for name in before:
        assert bool(changed[name].any()) == (name not in always), name
    touched = sum(first.numel() for name, first in before.items() if name not in always)
    assert log.recipe_report["touched_share"] == touched / sum(first.numel() for first in before.values())
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize(
    ("attention", "feed_forward"),
    [
        (("self_attn.q_proj", "self_attn.o_proj"), ("mlp.up_proj", "mlp.down_proj")),  # Llama
        (("attn.c_attn", "attn.c_proj"), ("mlp.c_fc", "mlp.c_proj")),  # GPT-2
        (("attention.query_key_value", "attention.dense"), ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h")),  # GPT-NeoX
    ],
)
def test_half_of_the_attention_and_half_of_the_feed_forward_is_frozen_whatever_they_are_called(attention, feed_forward):
    names = [f"layers.{layer}.{name}.weight" for layer in range(4) for name in (*attention, *feed_forward)]
    weights = {f"model.{name}": torch.nn.Parameter(torch.ones(2, 2)) for name in names}
    for seed in range(4):
        half = HalfFineTuning(seed=seed).build(Material())
        half.begin(Training(None, weights, None, (1,), 0))
        for layer in range(4):
            frozen = {name for name in half.frozen(0) if f"layers.{layer}." in name}
            assert sum(name.removesuffix(".weight").endswith(attention) for name in frozen) == 1
            assert len(frozen) == 2


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        ("half", 0.0),
        ("replay", 0.0),
        ("l2-sp", 1.0),  # w0
        ("magnitude-mask", 0.5 + 0.25),  # the frozen half of w0, and a byte for every weight
        ("spider", 3 + 0.25),  # w0, I and A, and a byte for what moved
    ],
)
def test_extra_memory_is_what_a_constraint_holds_beside_the_weights(constraint, expected):
    model, _, _, log = trained({"constraint": constraint})
    weight_bytes = sum(4 * weight.numel() for weight in model.parameters())
    assert log.recipe_report["extra_memory_bytes"] / weight_bytes == pytest.approx(expected, abs=1e-3)
