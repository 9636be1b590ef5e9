import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from spillover.models.load import load_model
from spillover.training.checkpoints import STATE, Checkpoints
from spillover.training.fit import fit
from spillover.training.optimization import TrainingSettings
from spillover.training.probe import Watch
from spillover.training.rows import MixedRows, TrainingRows
from spillover.training.stages import fit_stages
from tests.models.tiny import tiny_model
from tests.training.made_rows import GENERAL, made_rows

SETTINGS = TrainingSettings(learning_rate=1e-2, batch_size=2, epochs=2)
FIRST, SECOND = made_rows(5, 6, seed=1), made_rows(4, 8, seed=2)
STAGED = MixedRows((*FIRST.rows, *SECOND.rows), 0, {}, (FIRST, SECOND), None, {"rows": {"g": 6, "a": 8}})


def weights_of(model):
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def assert_equal(one, other):
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def steps_seen():
    """The learning rate of every optimizer step, and how many steps the optimizer's state had seen before it."""
    seen = []

    def look(optimizer, *_):
        states = [float(state["step"]) for state in optimizer.state.values() if "step" in state]
        seen.append((optimizer.param_groups[0]["lr"], max(states, default=0.0)))

    handle = register_optimizer_step_pre_hook(look)
    yield seen
    handle.remove()


def test_every_stage_begins_at_the_full_rate_with_an_optimizer_that_has_seen_nothing(steps_seen):
    log = fit_stages(tiny_model(scale=1), STAGED, SETTINGS, seed=3)
    rates = [*(1e-2 * (1 - step / 6) for step in range(6)), *(1e-2 * (1 - step / 8) for step in range(8))]
    assert [rate for rate, _ in steps_seen] == pytest.approx(rates)
    assert [count for _, count in steps_seen] == [*range(6), *range(8)]
    assert log.step_count == len(log.losses) == 14
    assert log.mixture == {"rows": {"g": 6, "a": 8}, "stage_steps": [6, 8]}


def test_two_stages_are_two_trainings_of_which_the_second_starts_from_the_saved_weights_of_the_first(tmp_path):
    staged = tiny_model(scale=1)
    log = fit_stages(staged, STAGED, SETTINGS, seed=3)
    first = tiny_model(scale=1)
    own = [fit(first, FIRST, SETTINGS, seed=3)]
    first.save_pretrained(tmp_path)
    second = load_model(tmp_path, dtype="float32", device="cpu")
    own.append(fit(second, SECOND, SETTINGS, seed=3))
    assert_equal(weights_of(staged), weights_of(second))
    assert log.losses == own[0].losses + own[1].losses
    assert log.target_token_count == sum(part.target_token_count for part in own)


def test_the_first_stage_may_have_its_own_number_of_passes():
    rows = MixedRows(STAGED.rows, 0, {}, STAGED.stages, 1)
    assert fit_stages(tiny_model(scale=1), rows, SETTINGS, seed=3).mixture["stage_steps"] == [3, 8]


def test_one_stage_and_plain_rows_train_as_fit_does():
    models = [tiny_model(scale=1) for _ in range(3)]
    fit(models[0], FIRST, SETTINGS, seed=3)
    fit_stages(models[1], FIRST, SETTINGS, seed=3)
    fit_stages(models[2], MixedRows(FIRST.rows, FIRST.shared_prefix_length, {}, (FIRST,)), SETTINGS, seed=3)
    assert_equal(weights_of(models[0]), weights_of(models[1]))
    assert_equal(weights_of(models[0]), weights_of(models[2]))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_forgetting_is_measured_against_the_model_before_the_first_stage(precision):
    model = tiny_model()
    log = fit_stages(model, STAGED, SETTINGS, seed=3, precision=precision, watch=Watch(GENERAL, 3))
    assert [entry["step"] for entry in log.forgetting] == [0, 3, 6, 9, 12, 14]
    divergences = [entry["kl_to_base"] for entry in log.forgetting]
    assert divergences[0] == 0
    assert all(divergence > 1e-4 for divergence in divergences[1:])


def test_a_run_killed_in_its_second_stage_goes_on_to_the_same_weights(tmp_path):
    whole, killed, resumed = (tiny_model(scale=1) for _ in range(3))
    log = fit_stages(whole, STAGED, SETTINGS, seed=3)

    def stop(step, count, loss):
        assert count == 14
        if step == 11:
            raise KeyboardInterrupt

    checkpoints = Checkpoints(tmp_path / "run", seconds=0)
    with pytest.raises(KeyboardInterrupt):
        fit_stages(killed, STAGED, SETTINGS, seed=3, checkpoints=checkpoints, progress=stop)
    assert (tmp_path / "run" / "stage-2" / STATE).is_file()
    steps = []
    again = fit_stages(
        resumed, STAGED, SETTINGS, seed=3, checkpoints=checkpoints, progress=lambda step, *_: steps.append(step)
    )
    assert_equal(weights_of(whole), weights_of(resumed))
    assert again.losses == log.losses
    assert steps == [6, 11, 12, 13, 14]  # the last of the first stage, then from the second's last checkpoint
    checkpoints.remove()
    assert not (tmp_path / "run").exists()


def test_a_joint_mixture_is_one_stage_whose_steps_see_all_sources():
    joint = MixedRows(STAGED.rows, 0, {}, (TrainingRows(STAGED.rows, 0, {}),))
    log = fit_stages(tiny_model(scale=1), joint, SETTINGS, seed=3)
    assert log.mixture["stage_steps"] == [14]
    assert log.target_token_count == 2 * sum(len(row.target) for row in STAGED.rows)
