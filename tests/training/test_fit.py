import copy
import math

import pytest
import torch

from spillover.errors import SpilloverError, UserError
from spillover.training.fit import SharedPrefixLogits, batches, best_pack_tokens, fit, recompute_activations
from spillover.training.loss import summed_loss
from spillover.training.optimization import TrainingSettings
from spillover.training.rows import TrainingRow, TrainingRows
from tests.models.tiny import SHARING, tiny_model
from tests.training.made_rows import made_rows


def plain_loss(model, rows):
    """One pass a row, the whole prompt each time, cross-entropy on the target only."""
    total = torch.zeros(())
    for row in rows:
        ids = torch.tensor([[*row.prompt, *row.target]])
        log_probabilities = model(input_ids=ids).logits[0].log_softmax(-1)
        for index, token in enumerate(row.target):
            total = total - log_probabilities[len(row.prompt) - 1 + index, token]
    return total


@pytest.mark.parametrize("architecture", SHARING)
@pytest.mark.parametrize("shared", [0, 3, 14])
def test_packed_loss_and_gradients_equal_those_of_plain_passes(architecture, shared):
    data = made_rows(shared)
    packed, plain = tiny_model(architecture, scale=2), tiny_model(architecture, scale=2)
    loss = summed_loss(SharedPrefixLogits(packed)(data.rows, data.shared_prefix_length), data.rows)
    expected = plain_loss(plain, data.rows)
    loss.backward()
    expected.backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    for (name, ours), theirs in zip(packed.named_parameters(), plain.parameters(), strict=True):
        gap = (ours.grad - theirs.grad).norm() / theirs.grad.norm().clamp_min(1e-6)
        assert gap <= 1e-5, name


@pytest.mark.parametrize("architecture", SHARING)
@pytest.mark.parametrize("shared", [0, 14])
def test_recomputed_activations_give_the_same_loss_and_gradients(architecture, shared):
    data = made_rows(shared)
    kept, recomputed = tiny_model(architecture, scale=2), tiny_model(architecture, scale=2)
    recompute_activations(recomputed)
    recomputed.train()
    for module in recomputed.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    calls = []
    inner = next(m for m in recomputed.modules() if type(m).__name__.endswith("MLP"))
    inner.register_forward_pre_hook(lambda *_: calls.append(1))
    logits = SharedPrefixLogits(recomputed)(data.rows, data.shared_prefix_length)
    losses = summed_loss(logits, data.rows), plain_loss(kept, data.rows)
    for loss in losses:
        loss.backward()
    assert len(calls) == 2  # on the way there, and again on the way back
    assert float(losses[0].detach()) == pytest.approx(float(losses[1].detach()), rel=1e-5)
    for (name, ours), theirs in zip(recomputed.named_parameters(), kept.parameters(), strict=True):
        gap = (ours.grad - theirs.grad).norm() / theirs.grad.norm().clamp_min(1e-6)
        assert gap <= 1e-5, name


def test_a_run_with_recomputed_activations_learns_the_same_and_leaves_the_mode():
    data = made_rows(4, count=8)
    (kept, log), (recomputed, same) = (
        trained(data, batch_size=4),
        trained(data, batch_size=4, gradient_checkpointing=True),
    )
    assert same.losses == pytest.approx(log.losses, rel=1e-5)
    assert not any(getattr(module, "gradient_checkpointing", False) for module in recomputed.modules())
    for ours, theirs in zip(recomputed.parameters(), kept.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_an_architecture_that_cannot_recompute_is_refused():
    model = tiny_model()
    model.supports_gradient_checkpointing = False
    with pytest.raises(UserError, match=r"training.gradient_checkpointing: llama has no such mode; leave it out"):
        recompute_activations(model)


def test_prompt_tokens_get_no_loss_of_their_own():
    data = made_rows(5)
    model = tiny_model()
    rows = [TrainingRow(data.rows[0].prompt, ())]
    loss = summed_loss(SharedPrefixLogits(model)(rows, data.shared_prefix_length), rows)
    assert float(loss.detach()) == 0.0


def trained(rows, **settings):
    model = tiny_model(scale=1)
    log = fit(model, rows, TrainingSettings(learning_rate=1e-2, **settings), seed=3)
    return model, log


def test_a_step_follows_adamw_on_the_mean_over_target_tokens_and_decays_linearly():
    data = made_rows(7, count=5)
    model, log = trained(data, epochs=2, batch_size=3)
    reference = tiny_model(scale=1)
    optimizer = torch.optim.AdamW(reference.parameters(), lr=1e-2, weight_decay=0.0)
    for step, batch in enumerate(batches(data.rows, TrainingSettings(epochs=2, batch_size=3), seed=3)):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / 4)
        loss = plain_loss(reference, batch) / sum(len(row.target) for row in batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reference.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        assert log.losses[step] == pytest.approx(float(loss.detach()), rel=1e-3)
    assert log.step_count == len(log.losses) == 4
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=2e-4)


def test_the_packing_of_a_batch_does_not_change_what_is_learnt(monkeypatch):
    data = made_rows(4, count=8)
    one, _ = trained(data, batch_size=8)
    monkeypatch.setattr("spillover.training.fit.best_pack_tokens", lambda *_: 1)  # every row a pack of its own
    eight, _ = trained(data, batch_size=8)
    for ours, theirs in zip(one.parameters(), eight.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    data = made_rows(4, count=8)
    first, second = trained(data, batch_size=2)[0], trained(data, batch_size=2)[0]
    other = tiny_model(scale=1)
    fit(other, data, TrainingSettings(learning_rate=1e-2, batch_size=2), seed=4)
    weights = [next(model.parameters()) for model in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_every_row_is_seen_once_an_epoch():
    data = made_rows(2, count=7)
    seen = list(batches(data.rows, TrainingSettings(epochs=2, batch_size=3), seed=0))
    assert [len(batch) for batch in seen] == [3, 3, 1, 3, 3, 1]
    assert sorted(row.prompt for batch in seen[:3] for row in batch) == sorted(row.prompt for row in data.rows)


def test_training_ends_after_the_most_steps_and_the_rate_decays_over_them():
    data = made_rows(7, count=6)
    limited, log = trained(data, epochs=3, batch_size=3, max_steps=2)
    one_epoch, _ = trained(data, epochs=1, batch_size=3)
    assert log.step_count == len(log.losses) == 2
    for ours, theirs in zip(limited.parameters(), one_epoch.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_batch_without_target_tokens_is_an_error():
    rows = TrainingRows((TrainingRow((3, 4), ()),), 0, {})
    with pytest.raises(SpilloverError, match="no target token"):
        trained(rows)


def test_a_loss_that_is_not_finite_is_an_error_that_names_the_learning_rate():
    model = tiny_model()
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    with pytest.raises(SpilloverError, match=r"loss is nan at step 1 .*learning_rate"):
        fit(model, made_rows(2), TrainingSettings(), seed=0)


def test_runs_of_one_process_have_precisions_of_their_own():
    settings = TrainingSettings(learning_rate=1e-3, batch_size=4)
    losses = [
        fit(tiny_model(scale=1), made_rows(4, count=8), settings, seed=0, precision=precision).losses
        for precision in ("float32", "bfloat16", "float32")
    ]
    assert losses[0] == losses[2] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_weights_in_half_precision_are_refused():
    with pytest.raises(SpilloverError, match="float32 weights"):
        fit(copy.deepcopy(tiny_model()).bfloat16(), made_rows(2), TrainingSettings(), seed=0)


def test_pack_sizes_balance_the_repeated_prefix_against_wasted_attention():
    def cost(n, hidden=2048, prefix=900):
        return 24 * hidden**2 * prefix / n + 4 * hidden * n

    best = best_pack_tokens(2048, 900)
    assert cost(best) <= min(cost(best * 0.9), cost(best * 1.1))
