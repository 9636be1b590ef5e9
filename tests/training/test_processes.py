from types import SimpleNamespace

import pytest
import torch
from accelerate.commands.launch import launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env

from spillover.errors import UserError
from spillover.training.processes import Processes, sharding_asked

WAYS = "launch with --use_fsdp --fsdp_version 2 to split the model, or with --multi_gpu for a whole copy each"


def launched(*options):
    """Return the variables that accelerate's launcher sets for its processes."""
    usual = ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    return prepare_multi_gpu_env(launch_command_parser().parse_args([*options, *usual, "-m", "spillover"]))


def test_only_a_launch_with_fsdp_asks_for_a_split_model():
    assert not sharding_asked({})
    assert not sharding_asked(launched("--multi_gpu"))
    assert sharding_asked(launched("--use_fsdp", "--fsdp_version", "2"))


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, f"told to use deepspeed, which trainings here do not; {WAYS}"),
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, f"told to use megatron_lm, which trainings here do not; {WAYS}"),
        ({"ACCELERATE_USE_PARALLELISM_CONFIG": "true"}, "told to use parallelism_config, which trainings here do not"),
        ({"ACCELERATE_USE_FSDP": "true"}, f"told to use FSDP version 1, trainings here use 2; {WAYS}"),
    ],
)
def test_a_launch_that_the_loop_cannot_follow_is_refused(environment, message):
    with pytest.raises(UserError) as caught:
        sharding_asked(environment)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("fsdp_offload_params", "split weights stay on the devices; set it to false, or launch more processes"),
        ("fsdp_activation_checkpointing", "set it to false and training.gradient_checkpointing in the study file"),
    ],
)
def test_what_a_launch_sets_in_vain_is_refused(option, message):
    environment = launched("--use_fsdp", "--fsdp_version", "2", f"--{option}", "true")
    with pytest.raises(UserError, match=f"told {option}, which trainings here do not read: {message}"):
        sharding_asked(environment)


def accelerator(kind):
    return SimpleNamespace(
        distributed_type=SimpleNamespace(value=kind), process_index=0, num_processes=2, device=torch.device("cpu")
    )


def test_a_loop_whose_model_another_library_splits_is_refused():
    with pytest.raises(UserError, match="accelerate was told to use DEEPSPEED, which trainings here do not; launch"):
        Processes(accelerator("DEEPSPEED"))


def test_a_whole_model_under_fsdp_is_refused():
    with pytest.raises(UserError, match="told to use FSDP, and the model is whole; train what `sharded` gives"):
        Processes(accelerator("FSDP"))
    assert Processes(accelerator("FSDP"), hold_parts=True).hold_parts
