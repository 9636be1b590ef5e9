import pytest
import torch

from spillover.errors import SpilloverError
from spillover.training.constraints.constraint import Material, Training
from spillover.training.fit import SharedPrefixLogits
from spillover.training.settings import Recipe
from tests.models.tiny import tiny_model
from tests.training.made_rows import GENERAL, made_rows, trained


def begun(recipe, model=None, *, batch_size=4, step_count=5, replayed=()):
    recipe = Recipe.model_validate(recipe)
    model = model or tiny_model(scale=1)
    recipe.parameters.select(model, seed=0)
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    constraint = recipe.constraint.build(Material(GENERAL, replayed))
    with torch.no_grad():
        constraint.begin(Training(model, weights, SharedPrefixLogits(model), [batch_size] * step_count, step_count, 0))
    return model, weights, constraint


def test_the_gradient_of_l2_sp_is_twice_its_strength_times_the_distance():
    _, weights, constraint = begun({"constraint": {"kind": "l2-sp", "strength": 0.3}})
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    with torch.no_grad():
        for weight in weights.values():
            weight += torch.randn(weight.shape)
    loss = constraint.before_step(0)
    loss.backward()
    distance = sum(float((weight.detach() - before[name]).square().sum()) for name, weight in weights.items())
    assert float(loss.detach()) == pytest.approx(0.3 * distance, rel=1e-4)
    for name, weight in weights.items():
        assert torch.allclose(weight.grad, 2 * 0.3 * (weight.detach() - before[name]), atol=1e-6)


@pytest.mark.parametrize("rslora", [False, True])
def test_l2_sp_of_an_adapter_is_the_squared_norm_of_its_merged_update(rslora):
    lora = {"kind": "lora", "rank": 4, "alpha": 6, "use_rslora": rslora}
    _, weights, constraint = begun({"parameters": lora, "constraint": {"kind": "l2-sp", "strength": 1.0}})
    assert float(constraint.before_step(0).detach()) == 0.0
    expected = 0.0
    with torch.no_grad():
        for weight in weights.values():
            weight.copy_(torch.randn(weight.shape))
    for name, a in weights.items():
        if "lora_A" in name:
            b = weights[name.replace("lora_A", "lora_B")]
            expected += float(((6 / (2 if rslora else 4)) * b @ a).detach().square().sum())
    assert float(constraint.before_step(0).detach()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("parameters", ["full", {"kind": "lora", "rank": 2}])
def test_kl_is_zero_at_the_start_and_the_divergence_from_the_base_afterwards(parameters):
    model, weights, constraint = begun(
        {"parameters": parameters, "constraint": {"kind": "kl", "strength": 2.0, "rows": 2}}
    )
    first = constraint.before_step(0)
    assert float(first.detach()) == pytest.approx(0.0, abs=1e-6)
    rows = GENERAL[2:4]

    def log_probabilities():
        parts = []
        for row in rows:
            ids = torch.tensor([[*row.prompt, *row.target[:-1]]])
            parts.append(model(input_ids=ids).logits[0].log_softmax(-1))
        return torch.cat(parts).detach()

    base = log_probabilities()
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in weights.values():
            weight += 0.3 * torch.randn(weight.shape)
    ours = log_probabilities()
    expected = 2.0 * float((base.exp() * (base - ours)).sum(-1).mean())
    assert expected > 0.01
    assert float(constraint.before_step(1).detach()) == pytest.approx(expected, rel=1e-4)


def test_replay_mixes_in_its_share_and_weighs_a_replayed_row_like_a_row_of_the_task():
    rows = made_rows(5, count=12)
    _, _, constraint, log = trained({"constraint": {"kind": "replay", "share": 0.25}}, rows=rows, batch_size=3)
    seen = log.recipe_report["replayed_row_count"]
    assert seen / (seen + 2 * len(rows.rows)) == pytest.approx(0.25)
    model, _, constraint = begun({"constraint": {"kind": "replay", "share": 0.25}}, batch_size=3)
    chosen = constraint._order[:1]
    loss = constraint.before_step(0)
    ((row, _),) = chosen
    ids = torch.tensor([[*row.prompt, *row.target[:-1]]])
    plain = torch.nn.functional.cross_entropy(model(input_ids=ids).logits[0], torch.tensor(row.target))
    assert float(loss.detach()) == pytest.approx(float(plain.detach()) * 0.25 / 0.75, rel=1e-5)


def test_a_replayed_row_weighs_the_same_where_the_share_makes_no_whole_number_of_rows():
    model, _, constraint = begun({"constraint": {"kind": "replay", "share": 0.1}}, batch_size=6, step_count=9)
    losses = [constraint.before_step(step) for step in range(9)]
    chosen = iter(constraint._order)
    assert sum(loss is not None for loss in losses) == 6  # 9 x 6 x 0.1 / 0.9
    for loss in losses:
        if loss is not None:
            row, _ = next(chosen)
            ids = torch.tensor([[*row.prompt, *row.target[:-1]]])
            plain = torch.nn.functional.cross_entropy(model(input_ids=ids).logits[0], torch.tensor(row.target))
            assert float(loss.detach()) == pytest.approx(float(plain.detach()) / 6, rel=1e-5)


@pytest.mark.parametrize("row_count", [8, 9, 11])
def test_the_share_of_replayed_rows_holds_where_the_last_step_of_a_pass_has_fewer_rows(row_count):
    rows = made_rows(5, count=row_count)
    recipe = {"constraint": {"kind": "replay", "share": 0.5}}
    log = trained(recipe, rows=rows, replayed=(), batch_size=8, epochs=3)[3]
    assert log.recipe_report["replayed_row_count"] == 3 * row_count


def test_replay_is_deterministic_and_takes_every_row_before_any_again():
    orders = [begun({"constraint": {"kind": "replay", "share": 0.5}})[2]._order for _ in range(2)]
    assert orders[0] == orders[1]
    assert sorted(row.target for row, _ in orders[0][: len(GENERAL)]) == sorted(row.target for row in GENERAL)


def test_replayed_tasks_keep_their_own_shared_prefix():
    other = made_rows(9, count=4, seed=5)
    recipe = {"constraint": {"kind": "replay", "share": 0.5, "rows_of": ["other"]}}
    model, _, _, log = trained(recipe, replayed=(other,))
    plain, _, _, _ = trained({})
    assert log.recipe_report["replayed_row_count"] == 12
    ours, theirs = (torch.cat([w.flatten() for w in m.parameters()]) for m in (model, plain))
    assert not torch.equal(ours, theirs)


def test_the_budget_stops_training_at_the_last_weights_within_it():
    free = trained({"constraint": {"kind": "generality-budget", "rise": 99, "every": 1}}, epochs=3)[3]
    rises = free.recipe_report["general_loss_rises"]
    assert not free.recipe_report["stopped_early"]
    limit = sorted(rises)[-3]
    first_above = next(index for index, rise in enumerate(rises) if rise > limit)
    model, _, _, log = trained({"constraint": {"kind": "generality-budget", "rise": limit, "every": 1}}, epochs=3)
    assert log.recipe_report["stopped_early"]
    assert log.step_count == first_above + 1
    assert log.recipe_report["general_loss_rises"] == pytest.approx(rises[: first_above + 1])
    total = count = 0
    for row in GENERAL:
        ids = torch.tensor([[*row.prompt, *row.target[:-1]]])
        total += torch.nn.functional.cross_entropy(model(ids).logits[0], torch.tensor(row.target), reduction="sum")
        count += len(row.target)
    base = tiny_model(scale=1)
    at_base = sum(
        torch.nn.functional.cross_entropy(
            base(torch.tensor([[*row.prompt, *row.target[:-1]]])).logits[0], torch.tensor(row.target), reduction="sum"
        )
        for row in GENERAL
    )
    assert float((total - at_base).detach() / count) == pytest.approx(rises[first_above - 1], abs=1e-4)


def test_a_budget_that_is_exceeded_at_once_says_what_to_do():
    with pytest.raises(SpilloverError, match=r"rose by .* within the first 2 steps, the budget is 1e-09; lower"):
        trained({"constraint": {"kind": "generality-budget", "rise": 1e-9, "every": 2}}, learning_rate=0.5, epochs=1)
