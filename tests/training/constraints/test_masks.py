from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError

from spillover.training.constraints.constraint import Material, Training
from spillover.training.constraints.half import HalfConstraint, HalfFineTuning
from spillover.training.fit import fit
from spillover.training.optimization import TrainingSettings
from tests.models.tiny import tiny_model
from tests.training.made_rows import made_rows, moved, trained


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


class Recorded(HalfConstraint):
    """Keeps the weights as they are before every step."""

    def before_step(self, step):
        super().before_step(step)
        self.history.append({name: weight.detach().clone() for name, weight in self._weights.items()})


@pytest.mark.parametrize(
    ("settings", "rounds"),  # six rows, batches of four: two steps a pass, three passes
    [
        ({}, [0, 0, 0, 0, 0, 0]),
        ({"rounds": 2}, [0, 0, 0, 1, 1, 1]),
        ({"redraw_every": 1}, [0, 1, 2, 3, 4, 5]),
        ({"redraw_every": 4}, [0, 0, 0, 0, 1, 1]),
        ({"redraw_every": "epoch"}, [0, 0, 1, 1, 2, 2]),
        ({"redraw_every": 100}, [0, 0, 0, 0, 0, 0]),
    ],
)
def test_between_draws_the_frozen_half_stays_bit_by_bit_and_the_rest_is_trained(settings, rounds):
    half = Recorded(HalfFineTuning(**settings))
    half.history = []
    model = tiny_model(scale=1)
    options = TrainingSettings(learning_rate=1e-2, batch_size=4, epochs=3, weight_decay=0.1)
    log = fit(model, made_rows(5), options, seed=3, constraint=half)
    states = [*half.history, dict(model.named_parameters())]
    frozen = []
    for step, (before, after) in enumerate(pairwise(states)):
        still = {name for name in before if torch.equal(before[name], after[name])}
        frozen.append(still)
        assert still == half.frozen(step)
        for layer in (0, 1):
            of_layer = [name for name in still if f"layers.{layer}." in name]
            assert sum("attn" in name for name in of_layer) == 2  # of q, k, v and o
            assert len(of_layer) == 2 + 1 + layer  # of gate, up and down
        assert not [name for name in still if "layers." not in name or "norm" in name]
    # Of one round all steps freeze the same; which half another round draws is nearly always another one.
    of_round = dict(zip(rounds, frozen, strict=True))
    assert frozen == [of_round[number] for number in rounds]
    assert len({tuple(sorted(names)) for names in of_round.values()}) == len(of_round)
    assert log.recipe_report["draw_count"] == len(of_round)
    first = tiny_model(scale=1).state_dict()
    never = {name for name, weight in model.named_parameters() if torch.equal(weight, first[name])}
    assert never == set.intersection(*frozen)
    touched = sum(weight.numel() for name, weight in model.named_parameters() if name not in never)
    assert log.recipe_report["touched_share"] == touched / model.num_parameters()


def test_redrawing_that_is_not_asked_for_is_in_no_key():
    plain, named = HalfFineTuning(), HalfFineTuning.model_validate({"redraw_every": None})
    assert plain.identity() == named.identity() == {"kind": "half", "rounds": 1, "seed": 0}
    assert HalfFineTuning(redraw_every="epoch").identity()["redraw_every"] == "epoch"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rounds": 2, "redraw_every": 5}, "rounds and redraw_every both say when halves are drawn anew; remove one"),
        ({"redraw_every": 0}, "0 is neither a number of optimizer steps from 1 on nor 'epoch'; name one of them"),
        ({"redraw_every": True}, "True is neither a number of optimizer steps"),
        ({"redraw_every": "step"}, "'step' is neither a number of optimizer steps"),
    ],
)
def test_redraws_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        HalfFineTuning(**settings)


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
        half.begin(Training(None, weights, None, (1,), 1, 0))
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
