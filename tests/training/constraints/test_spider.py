import math

import pytest
import torch

from spillover.errors import UserError
from spillover.training.constraints.constraint import Training, refuse_shards
from spillover.training.constraints.spider import Spider, SpiderConstraint, score, update_mask
from tests.training.made_rows import trained


def spider_on(weight, **settings):
    constraint = SpiderConstraint(Spider(**settings))
    with torch.no_grad():
        constraint.begin(Training(None, {"w": weight}, None, (1, 1), 1, 0))
    return constraint


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_a_step_by_hand():
    weight = torch.nn.Parameter(torch.tensor([[1.0, -2.0], [3.0, 4.0]]))
    spider = spider_on(weight)
    # |w0| = 1 2 3 4: mean 2.5, unbiased deviation sqrt(5/3); the gradient's sizes are 4 3 2 1, the same turned round.
    z = [step / math.sqrt(5 / 3) for step in (-1.5, -0.5, 0.5, 1.5)]
    importance = [sigmoid(value) for value in z]
    strength = importance[::-1]
    raw = [g / (i + g) if i < g else 0.0 for i, g in zip(importance, strength, strict=True)]
    mean = (raw[0] + raw[1]) / 2
    mask = [min(value / mean, 1.0) for value in raw]
    weight.grad = torch.tensor([[-4.0, 3.0], [2.0, -1.0]])
    with torch.no_grad():
        weight += 0.5
        spider.after_step(0)
    expected = [w0 + m * 0.5 for w0, m in zip([1.0, -2.0, 3.0, 4.0], mask, strict=True)]
    assert weight.flatten().tolist() == pytest.approx(expected, rel=1e-6)
    assert mask[0] == 1.0
    assert 0 < mask[1] < 1
    assert mask[2:] == [0.0, 0.0]
    assert weight.flatten()[2:].tolist() == [3.0, 4.0]
    report = spider.report()
    assert report["moving_shares"] == [0.5]
    assert report["free_shares"] == [0.25]
    assert report["touched_count"] == 2
    assert report["distance"] == pytest.approx(0.5 * math.hypot(mask[0], mask[1]), rel=1e-5)


@pytest.mark.parametrize("soft", [True, False])
def test_masks_lie_in_zero_to_one_and_are_zero_where_the_base_outranks_the_task(soft):
    torch.manual_seed(0)
    importance, strength = score(torch.randn(40, 30)), score(torch.randn(40, 30))
    mask = update_mask(importance, strength, soft=soft)
    assert bool(((mask >= 0) & (mask <= 1)).all())
    assert torch.equal(mask == 0, importance >= strength)
    if soft:  # independent Gaussians, measured for the method's sheet: half of the entries move, 22 % freely
        assert float((mask > 0).float().mean()) == pytest.approx(0.5, abs=0.05)
        assert float((mask == 1).float().mean()) == pytest.approx(0.22, abs=0.05)
    else:
        assert set(mask.flatten().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("values", [torch.full((4, 4), 0.1), torch.ones(7), torch.tensor([3.0]), torch.zeros(5)])
def test_constant_tensors_give_no_nan(values):
    scores = score(values)
    assert set(scores.tolist() if scores.dim() == 1 else scores.flatten().tolist()) == {0.5 if values.any() else 0.0}


def test_the_base_does_not_move_and_entries_it_outranks_equal_it_bit_by_bit():
    model, before, spider, log = trained({"constraint": "spider"})
    assert log.step_count == 4
    for name, weight in model.named_parameters():
        assert torch.equal(spider.base[name], before[name])
        outranked = spider.importance[name] >= score(spider.gradients[name])
        assert torch.equal(weight[outranked], before[name][outranked])
        assert not torch.equal(weight, before[name])
    assert 0 < log.recipe_report["touched_share"] < 1
    assert len(log.recipe_report["mask_churn"]) == 4


def test_signed_sums_cancel_and_absolute_ones_do_not():
    for accumulate, expected in (("signed", [0.0, 0.0, 0.0]), ("abs", [2.0, 4.0, 6.0])):
        weight = torch.nn.Parameter(torch.tensor([1.0, 2.0, 4.0]))
        spider = spider_on(weight, accumulate=accumulate)
        for sign in (1, -1):
            weight.grad = sign * torch.tensor([1.0, -2.0, 3.0])
            with torch.no_grad():
                spider.after_step(0)
        assert spider.gradients["w"].tolist() == expected


def test_a_tied_embedding_is_treated_once():
    model, _, spider, _ = trained({"constraint": "spider"})
    assert model.config.tie_word_embeddings
    assert "lm_head.weight" not in spider.base
    assert "model.embed_tokens.weight" in spider.base


def test_sharded_weights_are_refused():
    class Shard:
        placements = ("shard",)

    with pytest.raises(UserError, match="'spider' needs whole tensors, w is sharded"):
        refuse_shards(Training(None, {"w": Shard()}, None, (1,), 1, 0), "spider")


def test_the_hard_mask_restores_or_keeps():
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    spider = spider_on(weight, mask="hard")
    weight.grad = torch.tensor([4.0, 3.0, 2.0, 1.0])
    with torch.no_grad():
        weight += 0.5
        spider.after_step(0)
    assert weight.tolist() == [1.5, 2.5, 3.0, 4.0]
